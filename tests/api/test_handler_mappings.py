from typing import Any

import pytest

from handlers.models import HandlerMapping
from tests.api.answers import errors, problem
from tests.api.requests import MAPPINGS
from tests.sample_data import make_listener, make_mapping


@pytest.fixture
def listener(db):
    return make_listener(name="crm")


def mapping(**fields) -> dict[str, Any]:
    return {"listener": "crm", "on": "update", "handler": "tests.remember", **fields}


def test_a_mapping_is_made_read_changed_and_deleted(api, listener):
    wanted = mapping(
        name="accounts",
        entity="Account",
        changed_fields=["Phone"],
        condition={"field": "Phone", "exists": True},
        ignore_origins=["my-app"],
        ignore_users=["005000000000001AAA"],
        ordering="unordered",
        queue="crm",
        max_attempts=7,
        on_dead="continue",
        options={"any": "thing"},
        after="",
        destination=None,
        track=True,
        report_timeout=3600,
        on_unknown="retry",
    )

    response = api.post(MAPPINGS, wanted)

    assert response.status_code == 201
    stored = response.json()
    running = {"paused_at": None, "paused_by": "", "pause_reason": "", "managed": False}
    assert stored == {**wanted, **running, "id": stored["id"], "task": "", "warnings": []}
    page = f"{MAPPINGS}{stored['id']}/"
    assert api.get(page).json() == stored
    assert api.put(page, stored).json() == stored
    assert api.patch(page, {"queue": ""}).json()["queue"] == ""
    assert api.delete(page).status_code == 204
    assert not HandlerMapping.objects.exists()
    for gone in (api.get(page), api.patch(page, {"queue": ""}), api.delete(page)):
        problem(gone, 404)
    assert api.get(MAPPINGS).json()["results"] == []
    assert api.post(MAPPINGS, wanted).status_code == 201


@pytest.mark.parametrize(
    ("fields", "at", "message"),
    [
        ({"on": "upsert"}, "on", "is not a valid choice"),
        ({"listener": "nobody"}, "listener", "There is no listener 'nobody'."),
        ({"task": "crm.sync"}, "", "Choose a handler or a task, not both."),
        ({"on": "create", "changed_fields": ["A"]}, "changed_fields", "Only updates have"),
        ({"changed_fields": "Phone"}, "changed_fields", "Give a list of field names"),
        ({"condition": {"equals": 1}}, "condition", '"equals" needs "field".'),
        ({"ignore_origins": ["my-*"]}, "ignore_origins", "is compared literally"),
        ({"ignore_users": ["me"]}, "ignore_users", "is no Salesforce id"),
        ({"queue": "a b"}, "queue", "Use ASCII letters, digits"),
        ({"max_attempts": 0}, "max_attempts", "greater than or equal to 1"),
        ({"max_attempts": 10**20}, "max_attempts", "less than or equal to"),
        ({"options": []}, "options", "Give a JSON object"),
        ({"options": {"secret": "plain"}}, "options", "A secret must be a reference"),
        (
            {"handler": "handlers.post_to_url", "options": {"url": "ftp://x"}},
            "options",
            "handlers.post_to_url: url is needed and begins with https:// or http://.",
        ),
    ],
)
def test_what_is_wrong_is_said_at_the_field_and_nothing_is_written(
    api, listener, fields, at, message
):
    found = errors(api.post(MAPPINGS, mapping(**fields)))

    assert list(found) == [at]
    assert message in found[at][0]
    assert not HandlerMapping.objects.exists()


def test_a_handlers_own_check_sees_the_mapping_as_it_will_be(api, listener):
    made = make_mapping(listener, options={"url": "https://example.com"})
    page = f"{MAPPINGS}{made.pk}/"

    assert api.patch(page, {"handler": "handlers.post_to_url"}).status_code == 200
    assert "options" in errors(api.patch(page, {"options": {"utl": "https://example.com"}}))
    assert "options" in errors(api.patch(page, {"options": {}}))


def test_a_handler_that_is_not_registered_is_taken_with_a_warning(api, listener):
    response = api.post(MAPPINGS, mapping(handler="crm.later"))

    assert response.status_code == 201
    [warning] = response.json()["warnings"]
    assert warning["field"] == "handler"
    assert "No handler is registered under the name 'crm.later'." in warning["message"]


def test_a_mapping_stays_with_its_listener(api, listener):
    make_listener(name="other")
    made = make_mapping(listener)

    found = errors(api.patch(f"{MAPPINGS}{made.pk}/", {"listener": "other"}))

    assert "The listener of a mapping cannot be changed" in found["listener"][0]


def test_filters_pick_together(api, listener):
    other = make_listener(name="other")
    make_mapping(listener, "create", entity="Account")
    make_mapping(listener, "update", entity="Account")
    make_mapping(other, "update", entity="*", handler="tests.skip")

    def found(**filters) -> list[tuple[str, str, str]]:
        rows = api.get(MAPPINGS, filters).json()["results"]
        return [(row["listener"], row["on"], row["entity"]) for row in rows]

    assert found(listener="crm") == [("crm", "create", "Account"), ("crm", "update", "Account")]
    assert found(on="update", entity="Account") == [("crm", "update", "Account")]
    assert found(entity="*") == [("other", "update", "*")]
    assert found(handler="tests.skip") == [("other", "update", "*")]
    assert found(listener="nobody") == []
    assert "on" in errors(api.get(MAPPINGS, {"on": "upsert"}))


def test_a_handler_is_paused_once_and_resumed_once(client_of, listener):
    operator = client_of("view_handlermapping", "operate_listener")
    mapping = make_mapping(listener)
    page = f"{MAPPINGS}{mapping.pk}/"

    paused = operator.post(f"{page}pause/", {"reason": "their API is down"}).json()
    assert (paused["paused_by"], paused["pause_reason"]) != ("", "")
    assert paused["paused_at"]
    assert "already paused" in problem(operator.post(f"{page}pause/"), 409)["detail"]
    assert [row["id"] for row in rows(operator, paused="true")] == [mapping.pk]
    assert operator.post(f"{page}resume/").json()["paused_at"] is None
    assert "not paused" in problem(operator.post(f"{page}resume/"), 409)["detail"]
    assert rows(operator, paused="true") == []


def test_every_mapping_to_a_handler_is_paused_at_once(api, listener):
    for on in ("create", "update"):
        make_mapping(listener, on)
    make_mapping(listener, handler="tests.skip")

    assert api.post(f"{MAPPINGS}pause/", {"handler": "tests.remember"}).json() == {"count": 2}
    assert len(rows(api, paused="true")) == 2
    assert api.post(f"{MAPPINGS}resume/", {"handler": "tests.remember"}).json() == {"count": 2}
    assert "handler" in errors(api.post(f"{MAPPINGS}pause/", {}))


def test_pausing_is_no_setting_and_takes_its_own_permission(client_of, listener):
    mapping = make_mapping(listener)
    changer = client_of("view_handlermapping", "change_handlermapping")
    page = f"{MAPPINGS}{mapping.pk}/"

    changer.patch(page, {"paused_at": "2026-01-01T00:00:00Z", "queue": "crm"})
    mapping.refresh_from_db()
    assert (mapping.queue, mapping.paused_at) == ("crm", None)
    for address in (f"{page}pause/", f"{page}resume/", f"{MAPPINGS}pause/"):
        refused = problem(changer.post(address, {"handler": "tests.remember"}), 403)
        assert "listeners.operate_listener" in refused["detail"]


def rows(client, **filters):
    return client.get(MAPPINGS, filters).json()["results"]
