import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from audit.models import OperatorAction
from handlers.models import HandlerMapping
from listeners import values
from listeners.models import Listener
from listeners.salesforce.pubsub.endpoint import endpoint_of
from tests.api.answers import errors, problem
from tests.api.requests import CONNECTIONS, LISTENERS, connection
from tests.commands.running import record
from tests.sample_data import change, make_listener

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _connection(api):
    assert api.post(CONNECTIONS, connection()).status_code == 201


def mappings() -> list[tuple[str, str, str]]:
    return list(HandlerMapping.objects.values_list("on", "entity", "handler"))


def test_a_listener_is_made_with_four_empty_handlers(api):
    response = api.post(LISTENERS, {"name": "crm", "connection": "prod"})

    assert response.status_code == 201
    found = response.json()
    assert (found["connection"], found["channel"], found["enabled"]) == (
        "prod",
        "/data/ChangeEvents",
        True,
    )
    assert (found["state"], found["reason"], found["position"]) == ("stopped", None, None)
    assert mappings() == [(on, "*", "") for on in ("create", "update", "delete", "restore")]


def test_a_listener_is_made_with_its_handlers(api):
    handlers = [
        {"on": "update", "entity": "Account", "handler": "tests.remember"},
        {"on": "update", "entity": "Contact", "task": "crm.sync", "changed_fields": ["Phone"]},
    ]

    response = api.post(LISTENERS, {"connection": "prod", "handlers": handlers})

    assert response.status_code == 201
    assert response.json()["name"] == "salesforceListener"
    assert mappings() == [
        ("update", "Account", "tests.remember"),
        ("update", "Contact", ""),
        ("create", "*", ""),
        ("delete", "*", ""),
        ("restore", "*", ""),
    ]


def test_a_listener_and_each_of_its_handlers_are_in_the_action_log(api):
    of_connection = OperatorAction.objects.get()
    handlers = [
        {"on": "update", "entity": "Account", "handler": "tests.remember"},
        {"on": "delete", "entity": "Contact", "task": "crm.sync"},
    ]

    api.post(LISTENERS, {"name": "crm", "connection": "prod", "handlers": handlers})

    logged = OperatorAction.objects.exclude(pk=of_connection.pk).order_by("pk")
    about = ("action", "through", "object_type", "object_name", "object_id")
    added = HandlerMapping.objects.exclude(handler="", task="").order_by("pk")
    assert list(logged.values_list(*about)) == [
        ("add", "api", "listener", "crm", str(Listener.objects.get().pk)),
        *(("add", "api", "handlermapping", str(mapping), str(mapping.pk)) for mapping in added),
    ]
    assert added.count() == 2
    assert {action.who for action in logged} == {of_connection.who}


def test_no_handler_of_a_new_listener_runs_after_a_mirror(api):
    handler = {"on": "update", "entity": "Account", "handler": "tests.remember", "after": "mirror"}

    found = errors(api.post(LISTENERS, {"connection": "prod", "handlers": [handler]}))

    assert [*found] == ["handlers.0.after"]
    assert found["handlers.0.after"][0].startswith("This listener has no mirror of Account.")
    assert not Listener.objects.exists()


def test_a_wrong_handler_makes_nothing(api):
    handlers = [
        {"on": "create"},
        {"on": "delete", "handler": "tests.remember", "task": "crm.sync", "entity": "\0"},
        {"on": "delete", "condition": {"field": "Phone", "exists": True}, "changed_fields": ["A"]},
        {"on": "create", "handler": "tests.remember", "task": "crm.sync"},
    ]

    found = errors(api.post(LISTENERS, {"connection": "prod", "handlers": handlers}))

    assert found == {
        "handlers.1.entity": ["Null characters are not allowed."],
        "handlers.2.changed_fields": ["Only updates have changed fields; leave this empty."],
        "handlers.2.condition": ["A delete has no fields; leave this empty."],
        "handlers.3": ["Choose a handler or a task, not both."],
    }
    assert not Listener.objects.exists()


def test_a_listener_and_its_handlers_are_made_together_or_not_at_all(api, monkeypatch):
    def fail(self, *args, **kwargs):
        raise IntegrityError("it went away meanwhile")

    monkeypatch.setattr(HandlerMapping, "save", fail)

    problem(api.post(LISTENERS, {"connection": "prod"}), 409)
    assert not Listener.objects.exists()


def test_handlers_are_changed_at_their_own_address(api):
    page = f"{LISTENERS}{api.post(LISTENERS, {'connection': 'prod'}).json()['id']}/"

    assert errors(api.patch(page, {"handlers": []})) == {
        "handlers": ["Change them at /api/v1/handler-mappings/."]
    }


def test_a_managed_subscription_is_for_one_listener(api):
    fields = {"connection": "prod", "transport": "pubsub", "managed_subscription": "Crm_Sync"}
    first = api.post(LISTENERS, {**fields, "name": "first"}).json()

    found = errors(api.post(LISTENERS, {**fields, "name": "second"}))

    assert found == {
        "managed_subscription": [
            "Listener first already uses Crm_Sync. A managed subscription can have only one "
            "subscriber."
        ]
    }
    page = f"{LISTENERS}{first['id']}/"
    assert api.patch(page, {"enabled": False}).status_code == 200
    assert api.patch(page, {"transport": "cometd"}).status_code == 200
    assert api.post(LISTENERS, {**fields, "name": "second"}).status_code == 201


@pytest.mark.parametrize(
    ("fields", "at", "message"),
    [
        ({"connection": "nobody"}, "connection", "There is no connection 'nobody'."),
        ({"connection": 1}, "connection", "Invalid value."),
        ({"connection": None}, "connection", "This field may not be null."),
        ({"channel": "/data/x"}, "channel", "is not a change event channel"),
        ({"transport": "smoke"}, "transport", "is not a valid choice"),
        ({"replay_from": "yesterday"}, "replay_from", "Use tip, earliest, or a replay id"),
        ({"replay_from": "0x123"}, "replay_from", "a whole number, or 0x followed by hex"),
        ({"pubsub_endpoint": "api.example"}, "pubsub_endpoint", "Enter host and port"),
        ({"managed_subscription": "2nd"}, "managed_subscription", "Enter the developer name"),
        ({"api_version": "36.0"}, "api_version", "Use version 37.0 or later"),
        ({"read_timeout": 0}, "read_timeout", "greater than or equal to 0.1"),
        ({"enabled": "perhaps"}, "enabled", "Must be a valid boolean."),
        ({"gap_polcy": "fetch"}, "gap_polcy", "There is no such field"),
    ],
)
def test_what_is_wrong_is_said_at_the_field_and_nothing_is_written(api, fields, at, message):
    found = errors(api.post(LISTENERS, {"connection": "prod", **fields}))

    assert list(found) == [at]
    assert message in found[at][0]
    assert not Listener.objects.exists()


@pytest.mark.parametrize(
    ("endpoint", "is_taken"),
    [
        ("api.deu.pubsub.salesforce.com:7443", True),
        ("http://localhost:7011", True),
        ("https://localhost:7011", True),
        ("[2001:db8::1]:7443", True),
        ("http://[::1]:7011", True),
        ("2001:db8::1", False),
        ("2001:db8::1:7443", False),
        ("[2001:db8::1]", False),
        ("api.pubsub.salesforce.com", False),
        ("api.pubsub.salesforce.com:0", False),
        ("api.pubsub.salesforce.com:77777", False),
        ("api.pubsub.salesforce.com:7443/", False),
        ("api.pubsub.salesforce.com:7443?x", False),
        ("me:hush@api.pubsub.salesforce.com:7443", False),
        ("grpc://api.pubsub.salesforce.com:7443", False),
        ("api pubsub:7443", False),
        (" localhost:7443", False),
        (":7443", False),
        ("", False),
    ],
)
def test_an_endpoint_is_host_and_port(endpoint, is_taken):
    if is_taken:
        values.endpoint(endpoint)
        assert endpoint_of(endpoint).port  # the stream finds it too
    else:
        with pytest.raises(ValidationError, match="Enter host and port") as refused:
            values.endpoint(endpoint)
        assert "hush" not in str(refused.value)


@pytest.mark.parametrize("replay_from", ["tip", "earliest", "52478913", "0x000000000320bf810000"])
def test_a_listener_begins_at_a_replay_id_of_either_transport(api, replay_from):
    answer = api.post(LISTENERS, {"connection": "prod", "replay_from": replay_from})
    assert answer.json()["replay_from"] == replay_from


@pytest.mark.parametrize(
    ("fields", "warned"),
    [
        ({}, []),
        ({"managed_subscription": "Crm", "pubsub_endpoint": "a:1"},
         ["pubsub_endpoint", "managed_subscription"]),
        ({"transport": "pubsub", "pubsub_endpoint": "a:1", "replay_from": "earliest"}, []),
        ({"transport": "pubsub", "managed_subscription": "Crm", "on_replay_lost": "stop"}, []),
        ({"transport": "pubsub", "managed_subscription": "ns__Crm_2", "on_replay_lost": "tip",
          "replay_from": "77"}, ["replay_from", "on_replay_lost"]),
        ({"session_timeout": 60}, []),
        ({"transport": "pubsub", "session_timeout": 60}, ["session_timeout"]),
    ],
)  # fmt: skip
def test_warnings_name_settings_without_effect_or_with_a_risky_value(api, fields, warned):
    answer = api.post(LISTENERS, {"connection": "prod", **fields})
    assert answer.status_code == 201
    assert [one["field"] for one in answer.json()["warnings"]] == warned
    assert api.get(LISTENERS).json()["results"][0]["warnings"] == answer.json()["warnings"]


def test_a_connection_is_needed_and_a_name_is_given_once(api):
    assert errors(api.post(LISTENERS, {})) == {"connection": ["This field is required."]}
    api.post(LISTENERS, {"connection": "prod"})
    assert errors(api.post(LISTENERS, {"connection": "prod"})) == {
        "name": ["Listener with this Name already exists."]
    }


def test_what_was_read_can_be_sent_back_and_touches_nothing(api):
    stored = api.post(LISTENERS, {"connection": "prod"}).json()
    before = Listener.objects.get().fingerprint

    assert api.put(f"{LISTENERS}{stored['id']}/", stored).json() == stored
    assert Listener.objects.get().fingerprint == before

    changed = api.patch(f"{LISTENERS}{stored['id']}/", {"enabled": False})
    assert changed.json()["enabled"] is False
    assert Listener.objects.get().fingerprint != before


def test_a_listener_is_deleted_unless_it_has_a_history(api):
    with_history, without = make_listener(name="old"), make_listener(name="new")
    record(with_history, change())

    assert api.delete(f"{LISTENERS}{without.pk}/").status_code == 204
    found = problem(api.delete(f"{LISTENERS}{with_history.pk}/"), 409)

    assert found["detail"] == (
        "Listener old has audit log entries and cannot be deleted. Disable it."
    )
    assert list(Listener.objects.values_list("name", flat=True)) == ["old"]
