"""Forms of settings keep what others changed since they were opened, and name what both changed."""

from typing import Any

import pytest
from django.core import signing

from console.admin.concurrent_form import INPUT
from handlers.models import Destination, HandlerMapping
from listeners.models import Connection, Listener
from mirror.models import Mirror
from tests.console.opened_form import opened, posted
from tests.mirror.adding import add
from tests.sample_data import make_listener, make_mapping

pytestmark = pytest.mark.slow

BOTH = "another user or program changed it after you opened this page"


def page(row, name="change") -> str:
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/{name}/"


def change(row, **values) -> None:
    """Change a row as the API or another operator does."""
    other = type(row)._base_manager.get(pk=row.pk)
    for name, value in values.items():
        setattr(other, name, value)
    other.save()


def stored(row, *names: str) -> tuple[Any, ...]:
    row = type(row)._base_manager.get(pk=row.pk)
    return tuple(getattr(row, name) for name in names)


def a_connection() -> Connection:
    return make_listener().connection


def a_listener() -> Listener:
    return make_listener(sensitive_fields=["Phone"])


def a_mapping() -> HandlerMapping:
    condition = {"field": "Name", "equals": "A"}
    fields = {"condition": condition, "changed_fields": ["Name", "Phone"]}
    return make_mapping(make_listener(), "update", **fields)


def a_destination() -> Destination:
    return Destination.objects.create(name="shop", broker="redis://:hush@127.0.0.1:1/0")


def a_mirror() -> Mirror:
    return add(make_listener())


#: The row, what others change of it, and what the form's user changes, as posted and as stored.
PAGES = {
    "connection": (
        a_connection,
        {
            "base_url": "https://other.my.salesforce.com",
            "client_id": "other",
            "optional_params": {"device_id": "cdc"},
            "refresh_config": {},
            "clock_skew": 7,
            "scopes": ["api", "web"],
            "is_sandbox": True,
        },
        ("name", "renamed", "renamed"),
    ),
    "listener": (
        a_listener,
        {
            "enabled": False,
            "replay_from": "tip",
            "gap_policy": "record",
            "read_timeout": 77,
            "sensitive_fields": ["Phone", "Email"],
        },
        ("channel", "/data/AccountChangeEvent", "/data/AccountChangeEvent"),
    ),
    "mapping": (
        a_mapping,
        {
            "entity": "Account",
            "condition": {"field": "Name", "equals": "B"},
            "changed_fields": ["Name"],
            "options": {"level": "INFO"},
            "max_attempts": 9,
            "ignore_origins": ["my-app"],
        },
        ("queue", "crm", "crm"),
    ),
    "destination": (
        a_destination,
        {"worker_events": True},
        ("name", "store", "store"),
    ),
    "mirror": (a_mirror, {"deletes": "hard"}, ("verify", "hourly", "hourly")),
}


@pytest.fixture(params=PAGES)
def case(request, db):
    make, others, own = PAGES[request.param]
    return make(), others, own


def test_what_others_changed_since_the_form_was_opened_is_kept(admin_client, case):
    row, others, (name, typed, value) = case
    form = opened(admin_client, page(row))
    change(row, **others)

    answer = admin_client.post(page(row), form | {name: typed})

    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert stored(row, name, *others) == (value, *others.values())


def test_an_unchanged_form_changes_nothing(admin_client, case):
    row, others, _ = case
    change(row, **others)
    before = type(row).objects.values().get(pk=row.pk)

    assert admin_client.post(page(row), opened(admin_client, page(row))).status_code == 302

    after = type(row).objects.values().get(pk=row.pk)
    assert {k: str(v) for k, v in after.items()} == {k: str(v) for k, v in before.items()}


def test_each_field_can_still_be_emptied(admin_client, db):
    mapping = a_mapping()
    form = opened(admin_client, page(mapping))

    form |= {"condition": "", "changed_fields": "", "handler": ""}
    assert admin_client.post(page(mapping), form).status_code == 302

    assert stored(mapping, "condition", "changed_fields", "handler") == ({}, [], "")


@pytest.mark.parametrize(
    ("make", "name", "theirs", "present", "mine"),
    [
        (
            a_connection,
            "base_url",
            "https://a.my.salesforce.com",
            "“https://a.my.s",
            "https://b.my.salesforce.com",
        ),
        (a_listener, "gap_policy", "record", "“", "deliver"),
        (a_listener, "read_timeout", 77, "“77.0”", "88"),
        (a_listener, "sensitive_fields", [], "empty", "Phone, Email"),
        (
            a_mapping,
            "condition",
            {"field": "Name", "equals": "B"},
            "“{",
            '{"field": "Name", "equals": "C"}',
        ),
        (a_mapping, "entity", "Account", "“Account”", "Contact"),
        (a_mirror, "verify", "hourly", "“", "weekly"),
        (a_destination, "name", "their-shop", "“their-shop”", "my-shop"),
    ],
)
def test_a_field_that_both_changed_is_an_error_and_is_saved_on_request(
    admin_client, db, make, name, theirs, present, mine
):
    row = make()
    form = opened(admin_client, page(row))
    change(row, **{name: theirs})

    answer = admin_client.post(page(row), form | {name: mine})

    shown = answer.context["adminform"].form
    (error,) = shown.errors[name]
    assert error.startswith(f"{shown[name].label} is now {present}")
    assert f": {BOTH}. Save again to replace it with yours" in error
    assert [*shown.errors] == [name]
    assert stored(row, name) == (theirs,)

    again = posted(answer.content.decode())
    assert shown.fields[name].clean(again[name][0]) == shown.fields[name].clean(mine)
    assert admin_client.post(page(row), again).status_code == 302
    assert stored(row, name) == (shown.fields[name].clean(mine),)


def test_a_change_that_both_made_is_no_error(admin_client, db):
    listener = a_listener()
    form = opened(admin_client, page(listener))
    change(listener, read_timeout=77)

    assert admin_client.post(page(listener), form | {"read_timeout": "77"}).status_code == 302


def test_a_form_with_errors_shows_what_others_changed_and_what_its_user_typed(admin_client, db):
    listener = a_listener()
    form = opened(admin_client, page(listener))
    change(listener, enabled=False, session_timeout=99, sensitive_fields=["Email"])

    answer = admin_client.post(page(listener), form | {"channel": "nowhere", "read_timeout": "88"})

    again = posted(answer.content.decode())
    assert (again["channel"], again["read_timeout"]) == (["nowhere"], ["88"])
    assert (again["session_timeout"], again["sensitive_fields"]) == (["99.0"], ["Email"])
    assert "enabled" not in again
    again["channel"] = "/data/ChangeEvents"
    assert admin_client.post(page(listener), again).status_code == 302
    names = ("enabled", "session_timeout", "sensitive_fields", "read_timeout")
    assert stored(listener, *names) == (False, 99, ["Email"], 88)


def test_the_values_that_others_changed_are_validated_with_the_users_own(admin_client, db):
    connection = a_connection()
    form = opened(admin_client, page(connection))
    Connection.objects.filter(pk=connection.pk).update(auth="jwt_bearer")

    answer = admin_client.post(page(connection), form | {"client_id": "mine"})

    assert answer.status_code == 200  # a JWT login needs a private key
    assert stored(connection, "auth", "client_id") == ("jwt_bearer", "client")


def test_a_listener_that_was_stopped_stays_stopped(admin_client, db):
    listener = a_listener()
    form = opened(admin_client, page(listener))
    assert admin_client.post(page(listener, "stop"), {"reason": "maintenance"}).status_code == 302

    assert admin_client.post(page(listener), form | {"read_timeout": "88"}).status_code == 302

    assert stored(listener, "enabled", "read_timeout") == (False, 88)


def test_a_secret_that_others_changed_is_kept(admin_client, db):
    connection = a_connection()
    form = opened(admin_client, page(connection))
    change(connection, client_secret="their secret")

    assert admin_client.post(page(connection), form | {"name": "renamed"}).status_code == 302

    (secret,) = stored(connection, "client_secret")
    assert secret.reveal() == "their secret"


def test_a_secret_that_both_changed_is_an_error_without_its_value(admin_client, db):
    connection = a_connection()
    form = opened(admin_client, page(connection))
    change(connection, client_secret="their secret")

    answer = admin_client.post(page(connection), form | {"client_secret": "my secret"})

    errors = answer.context["adminform"].form.errors["client_secret"]
    assert errors[0].startswith(f"Client secret has a new value: {BOTH}.")
    html = answer.content.decode()
    assert "their secret" not in html
    assert "my secret" not in html
    assert stored(connection, "client_secret")[0].reveal() == "their secret"

    again = posted(html) | {"client_secret": "my secret"}
    assert admin_client.post(page(connection), again).status_code == 302
    assert stored(connection, "client_secret")[0].reveal() == "my secret"


def test_the_page_carries_no_secret(admin_client, db):
    connection = a_connection()
    form = opened(admin_client, page(connection))

    salt = f"console.shown_values.listeners.Connection.{connection.pk}"
    shown = signing.loads(form[INPUT][0], salt=salt)

    assert shown["client_id"] == '"client"'
    assert "secret of the client" not in str(shown)
    assert connection.client_secret.stored not in str(shown)


def test_a_conflict_in_a_field_that_is_hidden_now_is_none(admin_client, db):
    destination = a_destination()
    mapping = make_mapping(
        make_listener(), handler="", task="shop.sync", destination=destination, report_timeout=10
    )
    form = opened(admin_client, page(mapping))
    change(mapping, report_timeout=30)

    form |= {"task": "", "report_timeout": "20", "handler": "tests.remember"}
    assert admin_client.post(page(mapping), form).status_code == 302

    assert stored(mapping, "handler", "task") == ("tests.remember", "")


def test_a_conflict_in_a_field_that_the_login_does_not_use_is_said_at_the_top(admin_client, db):
    connection = a_connection()
    form = opened(admin_client, page(connection))
    change(connection, audience="https://theirs.example.com")

    answer = admin_client.post(page(connection), form | {"audience": "https://mine.example.com"})

    (error,) = answer.context["adminform"].form.non_field_errors()
    assert BOTH in error


def test_workers_are_asked_about_the_task_that_others_changed(admin_client, db, monkeypatch):
    mapping = make_mapping(make_listener(), handler="", task="shop.old", queue="shop")
    form = opened(admin_client, page(mapping))
    change(mapping, task="shop.new")
    monkeypatch.setattr("console.admin.mappings.page.survey", pytest.fail)

    assert admin_client.post(page(mapping), form | {"max_attempts": "4"}).status_code == 302

    assert stored(mapping, "task", "max_attempts") == ("shop.new", 4)


def test_a_test_of_the_form_is_of_what_a_save_would_store(admin_client, db, monkeypatch):
    destination = a_destination()
    form = opened(admin_client, page(destination))
    change(destination, worker_events=True)
    tested = []
    monkeypatch.setattr(
        "console.admin.destinations.page.checked",
        lambda row, by, changed, is_saved: tested.append((row.worker_events, changed)) or [],
    )

    answer = admin_client.post(page(destination, "test"), form)

    assert answer.status_code == 200
    assert tested == [(True, ())]


def test_values_that_cannot_be_read_are_an_error(admin_client, db):
    listener = a_listener()
    form = opened(admin_client, page(listener))
    change(listener, read_timeout=77)

    answer = admin_client.post(page(listener), form | {INPUT: "forged", "session_timeout": "99"})

    assert "SECRET_KEY" in answer.content.decode()
    again = posted(answer.content.decode())
    assert again["session_timeout"] == ["99"]
    assert stored(listener, "read_timeout") == (77,)
