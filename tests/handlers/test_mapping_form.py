"""The console's mapping form reads, shows and validates conditions and ignored authors."""

import json

import pytest

from console.admin.mappings.form import HandlerMappingForm
from console.admin.mappings.page import HandlerMappingAdmin
from handlers.models import HandlerMapping
from handlers.rules.conditions import EXAMPLE
from tests.sample_data import make_mapping

pytestmark = pytest.mark.django_db

TRACKED = {"track": "on", "report_timeout": 3600, "on_unknown": "retry"}
WON = {"field": "StageName", "changed_to": "Closed Won"}


@pytest.fixture
def form(listener):
    """Returns the form of a mapping with these values posted."""

    def posted(instance=None, **values):
        data = {"on": "update", "entity": "*", "handler": "tests.remember", **values}
        return HandlerMappingForm(
            {"ordering": "per_record", "on_dead": "continue", "options": "{}", **TRACKED, **data},
            instance=instance or HandlerMapping(listener=listener),
        )

    return posted


def test_what_is_left_empty_asks_for_nothing(form):
    saved = form(condition="", ignore_origins="", ignore_users="").save()

    assert (saved.condition, saved.ignore_origins, saved.ignore_users) == ({}, [], [])


def test_it_is_kept_as_it_is_written(form):
    saved = form(
        condition=json.dumps(WON),
        ignore_origins="my-app, com/salesforce/api/soap/*;client=their-app,",
        ignore_users="005000000000001AAA, 005000000000002",
    ).save()

    saved.refresh_from_db()
    assert saved.condition == WON
    assert saved.ignore_origins == ["my-app", "com/salesforce/api/soap/*;client=their-app"]
    assert saved.ignore_users == ["005000000000001AAA", "005000000000002"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("condition", '{"equals": 1}', 'condition: "equals" needs "field".'),
        ("condition", "[1]", "condition: give an object such as"),
        ("condition", "{", "Enter a valid JSON."),
        ("ignore_origins", "my-*", '"my-*": a client id is compared literally'),
        ("ignore_users", "me@example.com", '"me@example.com" is no Salesforce id'),
    ],
)
def test_what_is_wrong_is_said_at_the_field(form, field, value, message):
    refused = form(**{field: value})

    assert list(refused.errors) == [field]
    assert message in refused.errors[field][0]


def test_a_delete_has_no_fields_to_set_a_condition_on(form):
    refused = form(on="delete", condition=json.dumps(WON))

    assert refused.errors == {"condition": ["A delete has no fields; leave this empty."]}


def test_an_unchanged_mapping_is_not_saved_again(form, listener):
    mapping = make_mapping(
        listener,
        "update",
        condition=WON,
        ignore_origins=["my-app"],
        ignore_users=["005000000000001"],
    )

    unchanged = form(
        mapping,
        condition=json.dumps(WON),
        ignore_origins="my-app",
        ignore_users="005000000000001",
    )

    assert unchanged.changed_data == []


def test_its_page_shows_it_among_the_rest(admin_client, listener):
    mapping = make_mapping(
        listener, "update", condition=WON, ignore_origins=["my-app", "b"], ignore_users=["x" * 15]
    )

    html = admin_client.get(f"/admin/handlers/handlermapping/{mapping.pk}/change/").content.decode()

    assert "&quot;changed_to&quot;: &quot;Closed Won&quot;" in html
    assert 'value="my-app, b"' in html
    assert f"As JSON: {EXAMPLE}" in html
    shown = {name for _, options in HandlerMappingAdmin.fieldsets for name in options["fields"]}
    assert shown == {"listener", "allow_unknown_task", *HandlerMappingForm.Meta.fields}
