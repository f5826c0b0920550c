import pytest
from django.db import IntegrityError

from handlers.models import HandlerMapping
from listeners.models import Listener
from tests.api.answers import errors, problem
from tests.api.requests import CONNECTIONS, LISTENERS, connection
from tests.commands.running import record
from tests.sample_data import change, make_listener


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


@pytest.mark.parametrize(
    ("fields", "at", "message"),
    [
        ({"connection": "nobody"}, "connection", "There is no connection 'nobody'."),
        ({"connection": 1}, "connection", "Invalid value."),
        ({"connection": None}, "connection", "This field may not be null."),
        ({"channel": "/data/x"}, "channel", "is not a change event channel"),
        ({"transport": "smoke"}, "transport", "is not a valid choice"),
        ({"replay_from": "yesterday"}, "replay_from", "Use tip, earliest, or a replay id"),
        ({"api_version": "36.0"}, "api_version", "from version 37.0 on"),
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
        "Listener old has a history, which stays for the record; disable it."
    )
    assert list(Listener.objects.values_list("name", flat=True)) == ["old"]
