"""A connection can be tested before it is saved, and the test stores nothing."""

import json

import pytest
from django.contrib.auth.models import Permission

from audit.models import OperatorAction
from consumer.diagnostics.findings import Finding, within
from consumer.diagnostics.short_timeouts import (
    LONGEST_WAIT,
    listener_with_short_timeouts,
    with_short_timeouts,
)
from listeners.models import Connection, KeptTokens, Listener, OrgUsage, SpentToken, TokenState
from tests.sample_data import connection_to, make_listener
from tests.simulator.process import SimulatorProcess

NEW = "/admin/listeners/connection/test/"
ADD = "/admin/listeners/connection/add/"
LISTENER = "/admin/listeners/listener/test/"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def org():
    with SimulatorProcess("--connect-timeout", "2", "--rotate-refresh-tokens") as simulator:
        yield simulator


@pytest.fixture
def entered(org):
    """Returns the form fields of a connection to the org."""

    def fields(auth="client_credentials", **other) -> dict[str, str]:
        needed = {
            "client_credentials": ("client_id", "client_secret"),
            "refresh_token": ("client_id", "client_secret"),
            "password": ("client_id", "client_secret", "username", "password"),
        }[auth]
        given = {name: org.credentials[name] for name in needed}
        return {"name": "prod", "auth": auth, "base_url": org.url, **given, **other}

    return fields


def found(client, address: str, fields) -> tuple[list[str], list[str], bool]:
    """Return all findings, the failed ones, and whether the connection works."""
    response = client.post(address, fields)
    assert response.status_code == 200
    *lines, end = map(json.loads, b"".join(response.streaming_content).splitlines())
    failed = [line["text"] for line in lines if line["failed"]]
    return [line["text"] for line in lines], failed, end["works"]


def page(connection) -> str:
    return f"/admin/listeners/connection/{connection.pk}/test/"


def test_what_is_entered_is_tried_and_nothing_is_kept(admin_client, entered):
    texts, _, works = found(admin_client, NEW, entered(name=""))

    assert works
    assert "login: accepted (OAuth 2.0 client credentials)" in texts
    for model in (Connection, TokenState, KeptTokens, SpentToken, OrgUsage):
        assert not model.objects.exists()
    action = OperatorAction.objects.get()
    assert (action.action, action.who, action.object_type) == ("test", "admin", "connection")
    assert action.details == {"works": True, "unsaved": True}


def test_timeouts_are_short_while_a_user_waits_at_a_page():
    connection = Connection(auth="password", client_config={"read_timeout": 600.0})
    listener = Listener(connection=connection, read_timeout=600.0, connection_timeout=5.0)

    hasty = with_short_timeouts(connection)
    heard = listener_with_short_timeouts(listener, hasty)

    assert hasty.client_config["read_timeout"] == LONGEST_WAIT
    assert (heard.connection, heard.read_timeout, heard.connection_timeout) == (hasty, 15.0, 5.0)
    assert (connection.client_config, listener.read_timeout) == ({"read_timeout": 600.0}, 600.0)


def test_a_test_that_takes_too_long_ends_with_a_failure():
    clock = iter((0.0, 10.0, 26.0))
    findings = map(Finding, ("one", "two", "three"))

    told = list(within(findings, 25.0, lambda: next(clock)))

    assert [one.text for one in told[:-1]] == ["one", "two"]
    assert told[-1].text.startswith("The check took more than 25 seconds")
    assert told[-1].is_failure


def test_a_refused_login_is_reported_once_and_not_counted(admin_client, org, entered):
    before = len(org.token_requests())

    texts, failed, works = found(admin_client, NEW, entered(client_secret="wrong-and-not-shown"))

    assert not works
    assert failed[0].startswith("login refused: invalid_client")
    assert "wrong-and-not-shown" not in str(texts)
    assert len(org.token_requests()) == before + 1
    assert not TokenState.objects.exists()


def test_what_the_form_would_refuse_is_not_tried(admin_client, org, entered):
    before = len(org.token_requests())

    _, failed, _ = found(admin_client, NEW, entered(base_url="nonsense", client_id=""))

    assert [text.partition(":")[0] for text in failed] == ["Base URL", "Client ID"]
    assert len(org.token_requests()) == before
    assert not OperatorAction.objects.exists()


def test_a_secret_that_was_left_empty_is_the_stored_one(admin_client, org, entered):
    connection = connection_to(org.url, org.credentials, name="prod")
    make_listener(connection=connection, name="one", channel="/data/AccountChangeEvent")

    texts, _, works = found(admin_client, page(connection), entered(client_secret=""))

    assert works
    assert texts[-1] == "listener one: channel /data/AccountChangeEvent: permitted"
    assert not KeptTokens.objects.exists()


def test_an_unsaved_change_does_not_reach_the_stored_connection(admin_client, org, entered):
    connection = connection_to(org.url, org.credentials, name="prod")

    _, failed, _ = found(admin_client, page(connection), entered(client_secret="wrong"))

    assert failed
    noted = OperatorAction.objects.get().details
    assert "client_secret" in noted.pop("fields")
    assert noted == {"works": False, "unsaved": True}
    assert Connection.objects.get().client_secret.reveal() == org.credentials["client_secret"]
    assert not TokenState.objects.exists()


def test_a_refresh_token_that_a_test_used_up_is_saved_as_its_successor(admin_client, org, entered):
    typed = org.new_refresh_token()
    fields = entered("refresh_token", refresh_token=typed)

    first, _, works = found(admin_client, NEW, fields)
    again = found(admin_client, NEW, fields)[2]
    saved = admin_client.post(ADD, fields)

    assert works
    assert "this test used up the one you entered" in first[-1]
    assert again
    assert saved.status_code == 302
    connection = Connection.objects.get()
    assert connection.refresh_token.reveal() not in (typed, "")
    assert SpentToken.objects.filter(connection=connection).count() == 1
    assert typed not in str(dict(admin_client.session))
    assert connection.refresh_token.reveal() not in str(dict(admin_client.session))
    before = len(org.token_requests())
    assert found(admin_client, NEW, fields | {"name": "second"})[1]  # it would take the first one's
    assert len(org.token_requests()) == before
    assert found(admin_client, page(connection), entered("refresh_token"))[2]
    assert not any(request["refresh_token_reused"] for request in org.token_requests())


def test_a_stored_refresh_token_is_not_risked_with_other_settings(admin_client, org, entered):
    fields = {"auth": "refresh_token", "refresh_token": org.new_refresh_token()}
    connection = connection_to(org.url, org.credentials, name="prod", **fields)
    other = entered("refresh_token", client_id="another")
    before = len(org.token_requests())

    [failure] = found(admin_client, page(connection), other)[1]
    twin = found(admin_client, NEW, entered(**fields, name="twin"))[1][-1]
    reference = found(admin_client, NEW, entered("refresh_token", refresh_token="env:NONE"))[1][-1]

    assert failure.startswith("login: not tried, the stored refresh token works only once")
    assert "connection prod has the same refresh token" in twin
    assert "the refresh token is a reference" in reference
    assert len(org.token_requests()) == before


def test_a_new_listener_is_tried_with_its_connection(admin_client, org):
    connection = connection_to(org.url, org.credentials, name="prod")
    fields = {"connection": connection.pk, "channel": "/data/AccountChangeEvent", "enabled": "on"}

    texts, _, works = found(admin_client, LISTENER, fields)
    wrong = found(admin_client, LISTENER, fields | {"channel": "/data/Nope__chn"})[1]
    malformed = found(admin_client, LISTENER, fields | {"channel": "nope", "connection": ""})[1]

    assert works
    assert texts[-1] == "listener salesforceListener: channel /data/AccountChangeEvent: permitted"
    assert "Setup under Change Data Capture" in wrong[0]
    assert [text.partition(":")[0] for text in malformed] == ["Connection", "Channel"]
    assert not connection.listeners.exists()
    assert set(OperatorAction.objects.values_list("action", "object_name")) == {("test", "prod")}


def test_a_user_who_may_not_change_a_connection_cannot_send_its_token_elsewhere(
    client, org, django_user_model
):
    connection = connection_to(org.url, org.credentials, name="prod")
    user = django_user_model.objects.create_user("ann", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="add_listener"))
    client.force_login(user)
    fields = {"connection": connection.pk, "transport": "pubsub", "channel": "/data/ChangeEvents"}

    elsewhere = found(client, LISTENER, fields | {"pubsub_endpoint": "http://localhost:1"})[0]
    asked = found(client, LISTENER, {**fields, "transport": "cometd", "pubsub_endpoint": ""})[2]
    refused = client.post(page(connection))

    assert elsewhere == [
        "Pub/Sub endpoint: Only users who may change connection prod may use another endpoint."
    ]
    assert asked
    assert refused.status_code == 403


def test_an_operator_who_may_not_view_connections_tests_none(client, org, django_user_model):
    connection = connection_to(org.url, org.credentials, name="prod")
    user = django_user_model.objects.create_user("ann", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="operate_listener"))
    client.force_login(user)

    assert client.post(page(connection)).status_code == 403


@pytest.mark.parametrize(
    ("role", "statuses"), [("CDC Viewer", [403, 403, 403]), ("CDC Operator", [403, 403, 200])]
)
def test_roles_without_permission_test_only_stored_connections(as_a, org, entered, role, statuses):
    connection = connection_to(org.url, org.credentials, name="prod")
    client = as_a(role)
    stolen = entered(base_url="http://localhost:1", client_secret="")

    answers = [client.post(address, stolen) for address in (NEW, LISTENER, page(connection))]

    assert [answer.status_code for answer in answers] == statuses
    html = client.get(f"/admin/listeners/connection/{connection.pk}/change/").content.decode()
    assert ('id="trial"' in html) == (200 in statuses)
    if 200 in statuses:  # as it is stored, whatever was sent
        assert b"instance: " + org.url.encode() in b"".join(answers[-1].streaming_content)
