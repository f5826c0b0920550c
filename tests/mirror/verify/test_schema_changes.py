"""Fields that are added, hidden or converted in the org: an incident, and no value is lost."""

from __future__ import annotations

import pytest
from django.utils import timezone

from audit.models import Incident
from handlers.listener_rest_client import rest_of
from mirror import kinds, runs
from mirror.column_holders import columns_for
from mirror.schema.described import DescribedField, DescribedObject
from mirror.schema_changes import check_schema
from mirror.verify import schedule
from mirror.verify.comparison import Comparison
from tests.mirror.apply.changing import a_mirror
from tests.mirror.sent_tasks import sent
from tests.mirror.verify.verifying import Mirrored
from tests.simulator.process import SimulatorProcess

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]

SCHEMA = Incident.Kind.MIRROR_SCHEMA


@pytest.fixture
def org():
    with SimulatorProcess("--connect-timeout", "5") as running:
        yield running


@pytest.fixture
def contact(org):
    [record_id] = org.create(
        "Contact", Name={"LastName": "Doe"}, Email="a@b.example", Birthdate="2000-01-02"
    )
    return record_id


@pytest.fixture
def mirrored(org, contact):
    return Mirrored(org, "crm.Contact")


def check(mirrored):
    return mirrored.run("formulas", schema_only=True)


def finish_load(mirrored):
    """Run the load that a check requested."""
    load = mirrored.mirror.runs.filter(kind="load").latest("id")
    mirrored.age()
    while not load.is_over:
        kinds.work(load.pk)
        load.refresh_from_db()
    assert load.state == "done", load.error
    return load


def test_an_unchanged_object_opens_nothing(mirrored):
    check(mirrored)
    assert mirrored.incident(SCHEMA) is None
    assert mirrored.mirror.described_at is not None


def test_the_load_of_a_new_field_starts_at_once(listener):
    mirror = a_mirror(listener, described={"Id": "id"})
    fields = {name: DescribedField(name) for name in ("Id", "Name")}

    check_schema(mirror, DescribedObject("Account", "", True, fields), timezone.now())

    load = mirror.runs.get(state="waiting")
    assert (load.kind, load.options) == ("load", {"reason": "new fields"})
    assert {"run_id": load.pk} in sent(runs.TASK)


def test_a_new_field_opens_an_incident_and_its_values_are_loaded(mirrored, org, contact):
    org.entity("Contact", fields={"Region__c": "string"})
    org.update("Contact", contact, Region__c="North")

    check(mirrored)

    incident = mirrored.incident(SCHEMA)
    assert incident is not None
    assert "Region__c was added (string)" in incident.summary
    assert "inspect_salesforce Contact" in incident.remedy
    assert finish_load(mirrored).options == {"reason": "new fields"}
    assert mirrored.rows.get(pk=contact).raw["Region__c"] == "North"
    check(mirrored)
    assert mirrored.incident(SCHEMA) is not None  # no column yet


def test_a_new_field_whose_values_no_query_returns_needs_nothing(mirrored):
    description = rest_of(mirrored.mirror.listener).describe("Contact")
    description["fields"].append({"name": "Photo__c", "type": "base64"})

    check_schema(mirrored.mirror, DescribedObject.read(description), timezone.now())

    assert "Photo__c" in mirrored.mirror.described
    assert mirrored.mirror.field_changes == {}
    assert mirrored.incident(SCHEMA) is None
    assert not mirrored.mirror.runs.filter(kind="load", state="waiting").exists()


def test_complaint_4_rows_do_not_disappear_when_a_field_is_added(mirrored, org, contact):
    """The complaint "Incremental stream losing data on schema change" (airbyte #77627)."""
    before = mirrored.rows.filter(is_deleted=False).count()
    org.entity("Contact", fields={"Region__c": "string"})

    run = mirrored.verify("full")

    assert mirrored.rows.filter(is_deleted=False).count() == before
    assert run.is_right


def test_a_verification_that_finds_a_new_field_explains_its_values(mirrored, org, contact):
    org.entity("Contact", fields={"Is_Key__c": "boolean"})

    mirrored.verify("full")

    assert [(one.field, one.reason) for one in mirrored.differences()] == [
        ("Is_Key__c", "new_field")
    ]
    assert mirrored.incident() is None


def test_trap_fields_a_hidden_field_keeps_its_values(mirrored, org, contact):
    org.entity("Contact", hidden=["Email"])

    mirrored.verify("full")

    incident = mirrored.incident(SCHEMA)
    assert incident is not None
    assert "Email is no longer visible" in incident.summary
    assert mirrored.rows.get(pk=contact).email == "a@b.example"
    assert mirrored.differences() == []

    org.entity("Contact", hidden=[])
    check(mirrored)
    assert mirrored.incident(SCHEMA) is None


def test_values_of_a_field_that_is_shown_again_are_explained_until_a_load_has_them(
    mirrored, org, contact
):
    org.entity("Contact", hidden=["Email"])
    check(mirrored)
    org.update("Contact", contact, Email="new@b.example")
    org.entity("Contact", hidden=[])
    check(mirrored)

    mirrored.verify("full")

    assert [(one.field, one.reason) for one in mirrored.differences()] == [("Email", "new_field")]
    assert mirrored.incident() is None
    assert mirrored.rows.get(pk=contact).email == "new@b.example"


def test_a_field_that_becomes_visible_during_a_comparison_is_left_to_the_next(
    mirrored, org, contact
):
    org.entity("Contact", hidden=["Email"])
    check(mirrored)
    comparison = Comparison(mirrored.mirror)
    org.entity("Contact", hidden=[])

    checked = comparison.check([contact])

    assert checked.read.records[contact]["Email"] == "a@b.example"
    assert checked.differing == []


def test_a_load_ends_the_explanation_of_a_field_that_is_shown_again(mirrored, org, contact):
    org.entity("Contact", hidden=["Email"])
    check(mirrored)
    org.entity("Contact", hidden=[])
    check(mirrored)
    assert list(mirrored.mirror.field_changes) == ["Email"]

    finish_load(mirrored)
    check(mirrored)

    assert mirrored.mirror.field_changes == {}


def test_a_new_field_explains_no_difference_once_a_load_has_its_values(mirrored, org, contact):
    org.entity("Contact", fields={"Region__c": "string"})
    org.update("Contact", contact, Region__c="North")
    check(mirrored)
    finish_load(mirrored)
    mirrored.mirror.runs.filter(kind="verify").update(state="done")  # the load requested it
    mirrored.mirror.dirty_rows.all().delete()
    mirrored.age()
    row = mirrored.rows.get(pk=contact)
    assert row.raw["Region__c"] == "North"
    mirrored.rows.filter(pk=contact).update(raw={**row.raw, "Region__c": "lost"})

    run = mirrored.verify("full")

    assert not run.is_right
    assert [(one.field, one.reason) for one in mirrored.differences()] == [
        ("Region__c", "unexplained")
    ]


@pytest.mark.usefixtures("loads_that_settle")
def test_a_hidden_field_without_a_column_keeps_its_values(mirrored, org, contact):
    org.entity("Contact", fields={"Department": "string"})
    check(mirrored)
    org.update("Contact", contact, Department="Sales")
    mirrored.verify("full")
    assert mirrored.rows.get(pk=contact).raw["Department"] == "Sales"
    mirrored.age()
    org.entity("Contact", hidden=["Department"])
    org.update("Contact", contact, Phone="7")

    mirrored.verify("full")

    row = mirrored.rows.get(pk=contact)
    assert (row.phone, row.raw["Department"]) == ("7", "Sales")
    assert mirrored.incident(SCHEMA) is None  # no column holds it


def test_a_converted_field_is_compared_in_every_row(mirrored, org, contact):
    org.field_type("Contact", "Phone", "double")
    mirrored.rows.filter(pk=contact).update(phone="lost by the conversion")

    check(mirrored)

    incident = mirrored.incident(SCHEMA)
    assert incident is not None
    assert "Phone changed from phone to double" in incident.summary
    [run_id] = schedule.request_due(timezone.now())
    run = mirrored.mirror.runs.get(pk=run_id)
    assert run.options == {"depth": "full", "fields": ["Phone"]}
    while not run.is_over:
        kinds.work(run_id)
        run.refresh_from_db()
    [found] = mirrored.differences()
    assert (found.field, found.reason) == ("Phone", "converted")
    assert mirrored.rows.get(pk=contact).phone is None
    assert mirrored.incident() is None  # explained
    check(mirrored)
    assert mirrored.incident(SCHEMA) is None


@pytest.mark.usefixtures("loads_that_settle")
def test_a_new_standard_field_takes_no_column_of_a_custom_one(org):
    [record_id] = org.create("Employee__c", First_Name__c="Ann", Department__c="Sales")
    mirrored = Mirrored(org, "crm.Employee")
    org.entity("Employee__c", fields={"Department": "string"})
    org.update("Employee__c", record_id, Department="D1")

    mirrored.run("load")
    check(mirrored)

    incident = mirrored.incident(SCHEMA)
    assert incident is not None
    assert "Department was added (string)" in incident.summary
    assert "column of Department__c, which Department__c keeps" in incident.summary
    finish_load(mirrored)
    check(mirrored)
    assert mirrored.incident(SCHEMA) is not None
    row = mirrored.rows.get(pk=record_id)
    assert (row.department, row.raw["Department"]) == ("Sales", "D1")

    columns = columns_for(mirrored.mirror, mirrored.mirror.described)
    assert columns.fields["Department__c"].attname == "department"


def test_a_load_does_not_hide_a_change_from_the_check(mirrored, org):
    org.entity("Contact", fields={"Region__c": "string"})
    mirrored.run("load")

    check(mirrored)

    assert mirrored.incident(SCHEMA) is not None
