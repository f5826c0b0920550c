"""`salesforce_client("prod")` returns a connection's REST client where there is no event."""

import subprocess
import sys

import pytest
from celery import shared_task

from handlers import EventData, salesforce_client
from listeners.connections.handler_clients import UnknownConnection
from listeners.models import Connection, Listener
from tests.nursery import ROOT
from tests.sample_data import connection_to, listener_of
from tests.sample_handlers import read_journal
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

HANDLER_MODULE = "import handlers"
WORKER = "import django; django.setup(); import handlers.worker.run"
FIND_LOADED = """
import sys
print([name for name in ("simple_salesforce", "zeep") if name in sys.modules])
"""


@pytest.fixture(scope="module")
def running_org():
    with SimulatorProcess("--connect-timeout", "5") as org:
        yield org


@pytest.fixture
def org(running_org):
    running_org.forget_requests()
    return running_org


@pytest.fixture
def listener(org):
    return listener_of(org)


def logins(org) -> int:
    return len(org.token_requests())


def test_it_reads_and_writes_by_the_name_of_the_connection(org, listener):
    [account] = org.create("Account", Name="Acme")
    salesforce = salesforce_client(listener.connection.name)

    salesforce.Account.update(account, {"Phone": "1"})

    assert salesforce.Account.get(account)["Phone"] == "1"


def test_it_shares_the_token_and_the_client_of_the_events(org, listener):
    [account] = org.create("Account", Name="Acme")
    event = EventData(1, listener.name, "5", {}, None, _source=listener)

    assert event.salesforce.Account.get(account)["Name"] == "Acme"
    assert salesforce_client(listener.connection.name) is event.salesforce
    assert salesforce_client(listener.connection.name).Account.get(account)["Name"] == "Acme"

    assert logins(org) == 1


def test_a_refused_token_is_renewed(org, listener):
    [account] = org.create("Account", Name="Acme")
    salesforce = salesforce_client(listener.connection.name)
    salesforce.Account.get(account)

    org.fault("revoke_tokens")

    assert salesforce.Account.get(account)["Name"] == "Acme"


def test_it_speaks_the_version_of_the_connections_first_listener(org, listener):
    Listener.objects.update(api_version="64.0")

    assert salesforce_client(listener.connection.name).sf_version == "64.0"


def test_a_connection_without_a_listener_has_one_too(org):
    connection = connection_to(org.url, org.credentials, name="alone")

    assert salesforce_client("alone").limits()["DailyApiRequests"]
    assert not connection.listeners.exists()


def test_a_changed_connection_gets_another_client(org, listener):
    name = listener.connection.name
    before = salesforce_client(name)
    assert salesforce_client(name) is before

    connection = Connection.objects.get(name=name)
    connection.client_secret = "wrong"
    connection.save()

    with pytest.raises(Exception, match="refused"):
        salesforce_client(name)


def test_an_unknown_name_is_answered_with_those_that_there_are(org, listener):
    with pytest.raises(UnknownConnection) as unknown:
        salesforce_client("prdo")

    assert str(unknown.value) == (
        "There is no Salesforce connection named 'prdo'. "
        f"Use one of these names: {listener.connection.name}."
    )
    assert isinstance(unknown.value, LookupError)


def test_without_any_connection_it_says_how_to_make_one():
    with pytest.raises(UnknownConnection, match="No connection is configured yet"):
        salesforce_client("prod")


def test_a_plain_celery_task_may_use_it(org, listener):
    @shared_task(name="tests.nightly_names")
    def nightly_names(connection: str) -> list[str]:
        rows = salesforce_client(connection).query("SELECT Name FROM Account")["records"]
        return [row["Name"] for row in rows]

    org.create("Account", Name="Nightly")

    assert "Nightly" in nightly_names.apply(args=[listener.connection.name]).get()


def test_it_works_in_a_shell(org, listener, processes):
    [account] = org.create("Account", Name="Acme")
    code = (
        "from handlers import salesforce_client; "
        f"print(salesforce_client({listener.connection.name!r}).Account.get({account!r})['Name'])"
    )

    shell = processes.start("manage.py", "shell", "-c", code)

    assert shell.wait() == 0, shell.output
    assert shell.output.splitlines()[-1] == "Acme"


def test_a_worker_runs_a_handler_that_uses_it(org, listener, processes):
    listener.mappings.filter(on="create").update(handler="tests.read_by_connection")
    processes.worker()
    processes.listener()

    org.wait_for(lambda state: state["sessions"])
    org.create("Account", Name="Acme")

    wait_for(
        lambda: "Acme" in [line.get("name") for line in read_journal()], what="the handler's line"
    )
    assert logins(org) == 1


@pytest.mark.parametrize("process", [HANDLER_MODULE, WORKER])
def test_a_client_is_loaded_by_who_uses_one(process):
    found = subprocess.run(
        [sys.executable, "-c", process + FIND_LOADED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert found.stdout.strip() == "[]"
