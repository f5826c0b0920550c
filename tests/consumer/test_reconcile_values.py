"""A comparison checks the values of records against the log, and names those it could not judge."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, Incident
from consumer.gaps.complete import complete
from handlers.models import Delivery
from listeners.salesforce.rest.client import RestClient
from tests.consumer.hearing import hear
from tests.consumer.losing import asked, run
from tests.simulator.process import SimulatorProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture(scope="module")
def org():
    with SimulatorProcess("--connect-timeout", "5") as running_org:
        yield running_org


def compare(entity):
    return run(asked(entity.listener, timezone.now() - timedelta(hours=1)))


def forget_fields(entry: AuditLogEntry, *names: str) -> None:
    """Remove the fields as if their event had never come."""
    for name in names:
        entry.changed_data.pop(name)
        entry.changed_fields = [one for one in entry.changed_fields or [] if one != name]
    entry.save()


def test_a_record_older_than_the_listener_is_known_in_part(org, entity):
    [old] = entity.create(Name="old", Phone="1")
    entity.begin()
    entity.update(old, Phone="2")
    entity.create(Name="new")
    hear(org, entity.listener)

    job = compare(entity)

    assert (job.compared, job.present, job.known_in_part, job.added) == (2, 1, 1, 0)
    assert "1 is complete in the audit log, 1 is known in part, none was missing" in job.report
    assert "Not proven: 1 record known in part." in job.report
    assert "is complete in the audit log. Not" not in job.report
    assert entity.added() == []


def test_a_read_of_the_whole_record_makes_it_known(org, entity):
    [old] = entity.create(Name="old", Phone="1")
    entity.begin()
    org.gap("GAP_UPDATE", entity.name, old, apply=True, Phone="2")
    hear(org, entity.listener)
    complete(entity.listener.pk)
    entity.update(old, Phone="3")
    hear(org, entity.listener)

    job = compare(entity)

    assert (job.compared, job.present, job.known_in_part, job.added) == (1, 1, 0, 0)


def test_a_split_transaction_of_which_only_the_first_event_came_is_not_complete(org, entity):
    [whole] = entity.create(Name="whole", Phone="1")
    hear(org, entity.listener)
    [old] = entity.create(Name="old", Phone="1")
    entity.begin()
    for record in (whole, old):
        entity.update(record, Phone="2")
    hear(org, entity.listener)
    for entry in entity.entries(change_type="UPDATE"):
        forget_fields(entry, "Phone")

    job = compare(entity)

    assert (job.compared, job.present, job.known_in_part, job.added) == (2, 0, 0, 2)
    assert sorted(entity.added()) == sorted([("UPDATE", whole), ("UPDATE", old)])
    assert {one.changed_data["Phone"] for one in entity.entries(source="reconcile")} == {"2"}
    assert (compare(entity).present, len(entity.added())) == (2, 2)


def test_the_events_of_a_split_transaction_add_up(org, entity):
    [record] = entity.create(Name="Acme", Phone="1")
    hear(org, entity.listener)
    entity.update(record, Phone="2")
    hear(org, entity.listener)
    [first] = entity.entries(change_type="UPDATE")
    fields = {
        name: getattr(first, name)
        for name in ("listener", "channel", "entity_name", "record_id", "transaction_key")
    }
    AuditLogEntry.objects.create(
        **fields,
        change_type="UPDATE",
        sequence_number=2,
        commit_timestamp=first.commit_timestamp,
        changed_data={"Phone": "2"},
        received_at=timezone.now(),
    )
    forget_fields(first, "Phone")

    job = compare(entity)

    assert (job.compared, job.present, job.added) == (1, 1, 0)


def test_a_lost_change_of_an_address_without_a_new_time_is_found(org, entity):
    """Salesforce adds the coordinates of an address later, without a new LastModifiedDate."""
    place = {"City": "Bonn", "Latitude": 50.7, "Longitude": 7.1}
    [record] = entity.create(Name="Acme", BillingAddress=place)
    hear(org, entity.listener)
    [created] = entity.entries()
    del created.changed_data["BillingAddress"]["Latitude"]
    del created.changed_data["BillingAddress"]["Longitude"]
    created.save()

    job = compare(entity)

    assert entity.added() == [("UPDATE", record)]
    assert "Fields whose values differed: BillingAddress." in job.report
    [entry] = entity.entries(source="reconcile")
    address = entry.changed_data["BillingAddress"]
    assert {part: value for part, value in address.items() if value is not None} == place
    assert Delivery.objects.filter(entry=entry).exists()


def test_a_value_that_changes_once_more_without_a_new_time_is_found_again(org, entity):
    [record] = entity.create(Name="Acme", Phone="1")
    hear(org, entity.listener)
    for lost in ("Phone", "Name"):
        newest = entity.entries()[-1]
        del newest.changed_data[lost]
        newest.save()
        compare(entity)

    assert entity.added() == [("UPDATE", record)] * 2
    keys = {(one.transaction_key, one.sequence_number) for one in entity.entries()}
    assert len(keys) == 3


def test_a_lost_change_is_found_in_the_second_of_one_that_came(org, entity):
    [record] = entity.create(Name="Acme", Phone="1")
    hear(org, entity.listener)
    entity.update(record, Phone="2")
    hear(org, entity.listener)
    [update] = entity.entries(change_type="UPDATE")
    update.changed_data["Phone"] = "another"
    update.save()

    compare(entity)

    assert entity.added() == [("UPDATE", record)]


def test_a_field_that_came_as_a_diff_cannot_be_judged_and_is_named(org, entity):
    [record] = entity.create(Name="Acme", Notes__c="a" * 2000)
    hear(org, entity.listener)
    update = {"op": "update", "entity": entity.name, "record_ids": [record]}
    org.change({**update, "fields": {"Notes__c": "b" * 2000}, "diff_fields": ["Notes__c"]})
    hear(org, entity.listener)

    job = compare(entity)

    assert (job.compared, job.present, job.added) == (1, 1, 0)
    expected = "Not compared, since the audit log has only a diff or no value of them: Notes__c."
    assert expected in job.report
    assert "Not proven: the fields named above." in job.report


def test_a_field_that_the_user_may_not_read_is_named(org, entity):
    entity.create(Name="Acme", Phone="1")
    hear(org, entity.listener)
    [created] = entity.entries()
    created.changed_data["Salary__c"] = 5
    created.save()

    job = compare(entity)

    assert (job.present, job.added) == (1, 0)
    assert "Not compared, since the login's user may not read them: Salary__c." in job.report


def test_calculated_fields_are_named_and_not_compared(org, entity, monkeypatch):
    entity.create(Name="Acme", Score__c=1, LastActivityDate="2026-01-01")
    hear(org, entity.listener)
    [created] = entity.entries()
    created.changed_data["Score__c"] = 2
    del created.changed_data["LastActivityDate"]
    created.save()
    monkeypatch.setattr(RestClient, "uncarried_fields", lambda *_: {"Score__c"})

    job = compare(entity)

    assert (job.present, job.added) == (1, 0)
    expected = "no change event carries their values: LastActivityDate, Score__c."
    assert expected in job.report


def test_an_incident_that_closes_says_what_it_could_not_prove(org, entity):
    entity.create(Name="Acme", Phone="1")
    hear(org, entity.listener)
    [created] = entity.entries()
    created.changed_data["Salary__c"] = 5
    created.save()

    job = run(entity.lose())

    [incident] = Incident.objects.filter(listener=entity.listener)
    assert (incident.closed_at is not None, incident.note) == (True, job.report)
    assert "may not read them: Salary__c.\nNot proven: the fields named above." in incident.note
    assert entity.added() == []


def test_fields_that_the_change_event_does_not_have_are_not_compared(org, entity, monkeypatch):
    """Salesforce derives some fields of a record, and describes each change event's own fields."""
    fields = [{"name": name} for name in ("Name", "Phone", "LastModifiedDate")]
    described = {
        entity.name: [*fields, {"name": "IsPersonAccount"}, {"name": "Secret__c"}],
        entity.name.removesuffix("c") + "ChangeEvent": [*fields, {"name": "Secret__c"}],
    }
    described[entity.name][-1]["type"] = "encryptedstring"
    monkeypatch.setattr(RestClient, "_described", lambda _, name: described[name])
    entity.create(Name="Acme", Phone="1", IsPersonAccount=True, Secret__c="***1")
    hear(org, entity.listener)
    [created] = entity.entries()
    del created.changed_data["IsPersonAccount"]
    created.changed_data["Secret__c"] = "1231"
    created.save()

    job = compare(entity)

    assert (job.present, job.added) == (1, 0), job.report
    assert "no change event carries their values: IsPersonAccount, Secret__c." in job.report
    del created.changed_data["Phone"]
    created.save()
    assert compare(entity).added == 1
