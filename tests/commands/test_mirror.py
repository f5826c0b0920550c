import json
from datetime import timedelta

import pytest
from django.core.management import CommandError

from audit.models import AuditLogEntry
from consumer.management import mirror_progress
from handlers.models import Delivery, HandlerMapping
from mirror import service
from mirror.models import DirtyRow, Mirror
from mirror.schema.columns import columns_of
from mirror.sweeps import request_ids
from tests.commands.running import run
from tests.mirror.adding import add, in_sync
from tests.mirror.crm.models import Account, Opportunity
from tests.sample_data import make_listener
from tests.servers import wait_for


@pytest.fixture
def mirror(listener):
    return in_sync(add(listener))


def failure(*arguments: str) -> CommandError:
    with pytest.raises(CommandError) as found:
        run("mirror", *arguments)
    return found.value


def test_status_says_how_to_add_the_first(db):
    assert "manage.py mirror add app.Model" in run("mirror", "status").out
    assert run("mirror", "status", "--format", "json").out == "[]\n"


def test_status_is_a_line_for_each_mirror(mirror):
    lines = run("mirror", "status", "CRM.account").lines

    assert lines[0].split()[:2] == ["MODEL", "OBJECT"]
    assert "in sync as of" in lines[1]
    assert lines[2] == f"  └ Listener {mirror.listener} is stopped"
    [found] = json.loads(run("mirror", "status", "--format", "json").out)
    assert (found["model"], found["state"]) == ("crm.Account", "in_sync")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["verify"], 2, "Name the models to verify"),
        (["load", "crm.Nothing"], 2, "There is no mirror of crm.Nothing; known: none"),
        (["add", "crm.Account", "--listener", "nobody"], 2, "There is no listener 'nobody'"),
        (["add", "crm.Account"], 2, "There is no listener; create one"),
    ],
)
def test_wrong_arguments_end_with_2(db, arguments, code, text):
    error = failure(*arguments)

    assert error.returncode == code
    assert text in str(error)


def test_with_several_listeners_one_must_be_named(db):
    make_listener(name="a"), make_listener(name="b")

    assert "choose one with --listener: a, b" in str(failure("add", "crm.Account"))


def test_an_org_that_does_not_answer_ends_with_1(transactional_db):
    make_listener(name="a")

    error = failure("add", "crm.Account")

    assert error.returncode == 1
    assert str(error).startswith("crm.Account: Account could not be read from the org")


def test_several_models_are_added_together_or_not_at_all(org_listener, broker):
    error = failure("add", "crm.Account", "crm.Nothing", "crm.Contact", "crm.Nobody")

    assert error.returncode == 1
    nothing, nobody, end = str(error).splitlines()
    assert nothing.startswith("There is no model 'crm.Nothing'")
    assert nobody.startswith("There is no model 'crm.Nobody'")
    assert end == "No mirror was added."
    assert not Mirror.objects.exists()

    said = run("mirror", "add", "crm.Account", "crm.Account", "crm.Contact")
    assert said.lines[0].startswith("crm.Account: mirrors Account, by ")
    assert said.lines[1].startswith("crm.Contact: mirrors Contact, by ")
    assert Mirror.objects.count() == 2


def test_two_models_of_one_object_are_not_added(org_listener, simulator, broker, monkeypatch):
    fields = {"AccountId": "reference", "StageName": "string", "NextStep": "string"}
    fields |= {"Amount": "double", "Probability": "double", "CloseDate": "date"}
    simulator.entity("Account", fields=fields)  # so that it fits both models
    monkeypatch.setattr(Opportunity, "salesforce_object", "Account")
    columns_of.cache_clear()
    try:
        error = failure("add", "crm.Account", "crm.Opportunity")
    finally:
        columns_of.cache_clear()

    assert "already has a mirror" in str(error)
    assert not Mirror.objects.exists()
    assert not HandlerMapping.objects.filter(managed=True).exists()


def test_an_added_mirror_may_have_other_runs_than_its_load(listener, monkeypatch):
    def add_and_load(models, chosen, **_):
        """Add the mirrors as if a worker had already loaded them."""
        mirrors = [in_sync(add(chosen, model)) for model in models]
        for mirror in mirrors:
            request_ids(mirror, mirror.in_sync_since, None, after=timedelta(seconds=5))
        return mirrors

    monkeypatch.setattr(service, "add_all", add_and_load)

    added = run("mirror", "add", "crm.Account", "crm.Contact")

    assert added.lines[2:4] == ["crm.Account: load requested", "crm.Contact: load requested"]


def test_it_says_that_no_worker_runs_and_what_to_start(mirror, monkeypatch):
    monkeypatch.setattr(mirror_progress, "PATIENCE", 0.0)

    with pytest.raises(CommandError, match="Not everything is done") as error:
        run("mirror", "verify", "crm.Account", "--wait")

    assert error.value.returncode == 1
    assert mirror.runs.get(kind="verify").options == {"depth": "full"}


def test_removed_it_is_gone_and_its_table_stays(mirror):
    Account.all_objects.create(salesforce_id="001000000000001AAA")

    assert "its table and rows stay" in run("mirror", "remove", "crm.Account").out

    assert not Mirror.objects.exists()
    assert Account.objects.exists()


def all_is_handled():
    """Return whether each change is in its row; of the second of a load, its record is read."""
    unended = Delivery.objects.filter(state__in=Delivery.UNENDED)
    is_handled = AuditLogEntry.objects.exists() and not unended.exists()
    return is_handled and not DirtyRow.objects.exists()


@pytest.mark.timeout(1500)
def test_it_is_loaded_verified_and_repaired_by_workers(processes, org_listener, simulator):
    simulator.create("Account", Name="Acme")
    worker, listener = processes.worker(), processes.listener()

    added = processes.born("manage.py", "mirror", "add", "crm.Account", "--wait")
    assert added.wait(400) == 0, added.output
    assert "load done, " in added.output
    assert "in sync as of" in added.output
    assert Account.objects.filter(name="Acme").exists()
    wait_for(all_is_handled)  # or the change would mend the row

    Account.objects.update(phone="wrong")
    verified = processes.born("manage.py", "mirror", "verify", "crm.Account", "--wait")
    assert verified.wait(400) == 1, verified.output
    assert "found" in verified.output
    assert not Account.objects.filter(phone="wrong").exists()

    again = processes.born("manage.py", "mirror", "verify", "crm.Account", "--wait")
    assert again.wait(400) == 0, again.output
    assert "no difference" in again.output
    assert worker, listener
