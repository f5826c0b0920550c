"""After an overflow or a wildcard the whole entity is compared, and the hidden changes are
recorded."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import Incident
from consumer.reconciliation import job as reconciliation_job
from handlers.models import Delivery
from listeners.salesforce.rest.client import RestClient
from tests.consumer.hearing import hear
from tests.consumer.losing import Entity, asked, run
from tests.simulator.process import SimulatorProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture(scope="module")
def org():
    with SimulatorProcess("--connect-timeout", "5", "--overflow-after", "2") as running_org:
        yield running_org


def test_a_wildcard_is_an_update_of_every_record_without_a_later_event(org, entity):
    old, deleted = entity.create({"Name": "old"}, {"Name": "deleted"})
    entity.delete(deleted)
    hear(org, entity.listener)
    event = org.wildcard(entity.name)["events"][0]["header"]
    org.advance(1)  # a creation of the same millisecond does not show which of them was first
    [new] = entity.create(Name="created since")
    hear(org, entity.listener)

    job = run(entity.listener.reconciliations.get())

    assert entity.added() == [("UPDATE", old)]
    [entry] = entity.entries(source="reconcile")
    assert entry.transaction_key == event["transactionKey"]
    assert entry.sequence_number == event["sequenceNumber"]
    assert Delivery.objects.filter(entry=entry).exists()
    assert (job.compared, job.present) == (2, 1)
    incident = Incident.objects.get(listener=entity.listener, kind="wildcard")
    assert incident.closed_at
    assert new not in dict(entity.added()).values()


def test_a_wildcard_is_an_update_of_archived_records_too(org):
    """Only the resource that also returns deleted records returns archived ones."""
    entity = Entity(org)
    org.entity(entity.name, fields={"IsArchived": "boolean"})
    archived, deleted = entity.create({"Name": "archived"}, {"Name": "deleted"})
    entity.update(archived, IsArchived=True)
    entity.delete(deleted)
    hear(org, entity.listener)
    org.wildcard(entity.name)
    hear(org, entity.listener)

    job = run(entity.listener.reconciliations.get())

    assert entity.added() == [("UPDATE", archived)]
    assert job.compared == 1


def test_hidden_changes_of_an_overflow_are_found_and_those_with_events_are_not(org, entity):
    """Two changes of a transaction have events, and further ones are one overflow."""
    names = ("told 1", "told 2", "updated", "deleted", "untouched")
    told, told_too, updated, deleted, _ = [entity.create(Name=name)[0] for name in names]
    hear(org, entity.listener)
    changes = [
        *[update(entity, one, Phone=str(n)) for n, one in enumerate((told, told_too, updated))],
        {"op": "delete", "entity": entity.name, "record_ids": [deleted]},
        {"op": "create", "entity": entity.name, "fields": {"Name": "new"}},
    ]
    assert [e["header"]["changeType"] for e in org.change(*changes)["events"]] == [
        "UPDATE",
        "UPDATE",
        "GAP_OVERFLOW",
    ]
    hear(org, entity.listener)

    job = run(entity.listener.reconciliations.get())

    added = entity.added()
    assert ("UPDATE", updated) in added
    assert ("DELETE", deleted) in added
    assert [kind for kind, _ in added].count("CREATE") == 1
    assert len(added) == 3
    assert (job.compared, job.added) == (6, 3)
    assert Incident.objects.get(listener=entity.listener, kind="overflow").closed_at


def update(entity, record_id, **fields):
    return {"op": "update", "entity": entity.name, "record_ids": [record_id], "fields": fields}


def test_a_record_that_is_listed_and_not_returned_does_not_count_as_compared(
    org, entity, monkeypatch
):
    [withheld, deleted] = entity.create({"Name": "withheld"}, {"Name": "deleted"})
    read_many = RestClient.read_many

    def withhold(self, name, ids):
        entity.delete(deleted)
        read = read_many(self, name, ids)
        read.records.pop(withheld)
        return read

    monkeypatch.setattr(RestClient, "read_many", withhold)
    job = asked(entity.listener, timezone.now() - timedelta(hours=1))

    reconciliation_job.run(job.pk)

    job.refresh_from_db()
    assert job.state == "waiting"
    assert "1 records could not be read: Salesforce lists the record, and does not" in job.error
