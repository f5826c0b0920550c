"""Reconciliation after a lost position finds the lost changes over REST, and records and delivers
only those that the log lacks."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, Incident
from consumer.gaps.complete import complete
from handlers.models import Delivery
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


def test_each_kind_of_lost_change_is_added_once_and_the_incident_closes(org, entity):
    updated, deleted, back, same = entity.create(*[{"Name": f"{n}"} for n in range(4)])
    entity.delete(back)
    hear(org, entity.listener)

    entity.update(updated, Phone="2")
    entity.delete(deleted)
    entity.undelete(back)
    [new] = entity.create(Name="new")
    job = run(entity.lose())

    added = {record: kind for kind, record in entity.added()}
    assert added == {updated: "UPDATE", deleted: "DELETE", back: "UNDELETE", new: "CREATE"}
    assert len(entity.added()) == 4
    assert (job.compared, job.present, job.added) == (5, 1, 4)
    [incident] = Incident.objects.filter(listener=entity.listener)
    assert incident.closed_at
    assert incident.note == job.report
    assert job.report.splitlines() == [
        f"Compared the records changed since {job.window_start:%Y-%m-%d %H:%M} UTC with the audit "
        f"log, by id, time of last change and field values: {entity.name}.",
        "5 records changed in the window: 1 is complete in the audit log, 4 were missing and are "
        "recorded now.",
        "4 existing records of the audit log were looked up by id: no deletion is "
        "missing in the audit log.",
        f"{entity.name}: Fields whose values differed: Phone.",
        "Everything that changed in the window is now complete in the audit log.",
        "Not compared: the values of records that did not change in the window.",
    ]
    assert same not in added


def test_what_is_added_is_read_whole_delivered_and_says_what_it_is_worth(org, entity):
    hear_one(org, entity)
    entity.create(Name="new", Phone="1")
    run(entity.lose())

    [entry] = entity.entries(source="reconcile")
    assert entry.changed_data["Phone"] == "1"
    assert entry.changed_data["LastModifiedDate"].endswith("Z")
    assert entry.transaction_key == f"reconcile:{entry.commit_timestamp}"
    assert entry.commit_user == entry.changed_data["LastModifiedById"]
    assert entry.as_of == entry.commit_timestamp
    assert entry.read_at is not None
    assert (entry.replay_id, entry.change_origin) == ("", "")
    [delivery] = Delivery.objects.filter(entry=entry)
    assert delivery.state == "queued"


def test_a_second_comparison_adds_nothing(org, entity):
    hear_one(org, entity)
    entity.create(*[{"Name": f"{n}"} for n in range(3)])
    run(entity.lose())
    before = len(entity.entries())

    job = run(asked(entity.listener, timezone.now() - timedelta(hours=1)))
    again = run(entity.lose())

    assert (job.compared, job.present, job.added) == (4, 4, 0)
    assert (again.compared, again.added) == (4, 0)
    assert len(entity.entries()) == before


def test_a_lost_change_is_found_though_a_later_one_of_the_record_arrived(org, entity):
    [account] = entity.create(Name="Acme", Phone="1", City="Bonn")
    hear(org, entity.listener)
    entity.update(account, Phone="2")
    job = entity.lose()
    entity.update(account, City="Kiel")
    hear(org, entity.listener)

    run(job)

    assert entity.added() == [("UPDATE", account)]
    [entry] = entity.entries(source="reconcile")
    assert (entry.changed_data["Phone"], entry.changed_data["City"]) == ("2", "Kiel")


def test_what_came_after_the_loss_and_adds_up_is_not_added(org, entity):
    known, untouched = entity.create({"Name": "known", "Phone": "1"}, {"Name": "untouched"})
    hear(org, entity.listener)
    job = entity.lose()
    entity.update(known, Phone="2")
    [new] = entity.create(Name="new")
    entity.update(new, Phone="3")
    hear(org, entity.listener)

    run(job)

    assert entity.added() == []
    assert untouched


def test_a_change_lost_within_the_second_of_the_last_one_that_came_is_found(org, entity):
    [account] = entity.create(Name="Acme", Phone="1")
    hear(org, entity.listener)
    entity.update(account, Phone="2")  # within the same second, or the next

    run(entity.lose())

    assert entity.added() == [("UPDATE", account)]


def test_what_was_changed_before_the_first_recorded_change_is_not_due(org, entity):
    entity.create(Name="before the listener")
    entity.begin()
    org.advance(2)
    hear_one(org, entity)

    job = run(entity.lose())

    assert (job.compared, job.added) == (1, 0)


def test_a_field_without_events_of_an_older_record_is_not_missing(org, entity):
    """Within seconds of the loss the field could have been changed by a lost event."""
    entity.create(Name="Acme", Phone="1")
    org.advance(10)
    [newest] = entity.create(Name="Globex", Phone="1")
    hear(org, entity.listener)
    for entry in entity.entries():
        del entry.changed_data["Phone"]
        entry.save()

    run(entity.lose())

    assert entity.added() == [("UPDATE", newest)]


def test_what_was_read_for_a_gap_event_is_known(org, entity):
    [account] = entity.create(Name="Acme", Phone="1")
    hear(org, entity.listener)
    org.gap("GAP_UPDATE", entity.name, account, apply=True, Phone="2")
    hear(org, entity.listener)
    complete(entity.listener.pk)

    job = run(entity.lose())

    assert (job.compared, job.added) == (1, 0)


def test_what_comes_after_a_loss_is_not_the_first_that_was_due(org, entity):
    """Nothing was recorded before, so lost changes are older than all later ones."""
    [lost] = entity.create(Name="lost")
    org.advance(2)
    job = entity.lose()
    entity.create(Name="came")
    hear(org, entity.listener)

    run(job)

    assert entity.added() == [("CREATE", lost)]


def test_an_asked_one_adds_what_is_missing_and_trusts_what_is_there(org, entity):
    first, second = entity.create({"Name": "first"}, {"Name": "second"})
    hear(org, entity.listener)
    AuditLogEntry.objects.filter(record_id=first).delete()

    job = run(asked(entity.listener, timezone.now() - timedelta(hours=1)))

    assert entity.added() == [("CREATE", first)]
    assert (job.compared, job.present) == (2, 1)
    assert second


def test_a_record_that_was_created_before_the_window_is_an_update(org, entity):
    [first] = entity.create(Name="first")
    org.advance(3)
    since = datetime.fromtimestamp(org.state()["now"] / 1000 - 1, UTC)
    entity.update(first, Phone="1")
    entity.begin()

    run(asked(entity.listener, since))

    assert entity.added() == [("UPDATE", first)]


def hear_one(org, entity) -> str:
    [record] = entity.create(Name="heard")
    hear(org, entity.listener)
    return record
