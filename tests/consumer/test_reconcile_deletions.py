"""Records that exist by the log and no longer in Salesforce are found by their ids."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, Incident, Reconciliation
from consumer.reconciliation import deletions
from consumer.reconciliation import job as reconciliation_job
from handlers.models import Delivery
from listeners import crash_points
from listeners.salesforce.rest import org_requests
from tests.clock import a_moment_ago
from tests.commands.running import run as command
from tests.consumer.hearing import hear
from tests.consumer.losing import asked, run, unseen_setup
from tests.sample_data import make_mapping
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


def compare(entity, **fields):
    return run(asked(entity.listener, timezone.now() - timedelta(hours=1), **fields))


def delete_for_good(entity, *record_ids: str) -> None:
    """Delete records without an event, and without a trace in the Recycle Bin."""
    entity.delete(list(record_ids))
    entity.org.post("recycle-bin/empty")
    entity.begin()


def test_an_incident_does_not_close_as_complete_beside_records_that_are_gone(org, entity):
    records = entity.create(*[{"Name": f"{n}"} for n in range(20)])
    hear(org, entity.listener)
    delete_for_good(entity, *records[:15])

    job = run(entity.lose())

    assert sorted(entity.added()) == sorted(("DELETE", record) for record in records[:15])
    assert (job.compared, job.looked_up, job.deletions_added) == (5, 20, 15)
    [incident] = Incident.objects.filter(listener=entity.listener)
    assert (
        "20 existing records of the audit log were looked up by id: 15 no longer exist in "
        "Salesforce, and the missing deletions are recorded now."
    ) in incident.note


def test_the_deletion_is_delivered_once(org, entity):
    [record] = entity.create(Name="Acme")
    hear(org, entity.listener)
    delete_for_good(entity, record)

    compare(entity)
    again = compare(entity)

    [entry] = entity.entries(source="reconcile")
    assert (entry.change_type, entry.changed_data) == ("DELETE", {})
    assert entry.commit_timestamp > entity.entries()[0].commit_timestamp
    assert entry.transaction_key == f"reconcile:{entry.commit_timestamp}"
    assert Delivery.objects.get(entry=entry).state == "blocked", "behind that of its creation"
    assert (again.looked_up, again.deletions_added) == (0, 0)


def test_a_missed_deletion_from_before_the_window_is_found_in_the_recycle_bin(org, entity):
    [record] = entity.create(Name="Acme")
    hear(org, entity.listener)
    entity.delete(record)
    entity.begin()
    tomorrow = timezone.now() + timedelta(days=1)

    job = run(
        asked(entity.listener, tomorrow, window_end=tomorrow + timedelta(hours=1)),
    )

    assert (job.compared, job.deletions_added) == (0, 1)
    assert entity.added() == [("DELETE", record)]


def test_a_deletion_past_the_windows_end_is_left_to_the_stream(org, entity):
    [record] = entity.create(Name="Acme")
    hear(org, entity.listener)
    entity.delete(record)

    job = compare(entity, window_end=timezone.now() - timedelta(minutes=30))

    assert (job.looked_up, job.deletions_added) == (1, 0)
    assert entity.added() == []
    assert "was looked up by id: no deletion is missing in the audit log." in job.report


def test_a_deletion_that_the_log_has_is_not_looked_up(org, entity):
    gone, back = entity.create({"Name": "gone"}, {"Name": "back"})
    entity.delete([gone, back])
    entity.undelete(back)
    hear(org, entity.listener)

    job = compare(entity)

    assert (job.looked_up, job.deletions_added) == (1, 0)


def test_each_record_is_looked_up_once_in_many_slices(org, entity, monkeypatch):
    monkeypatch.setattr(deletions, "SLICE", 2)
    records = entity.create(*[{"Name": f"{n}"} for n in range(5)])
    for record in records[:3]:
        entity.update(record, Phone="1")
    hear(org, entity.listener)
    delete_for_good(entity, records[0], records[4])

    job = compare(entity)

    assert (job.looked_up, job.deletions_added) == (5, 2)
    assert {record for _, record in entity.added()} == {records[0], records[4]}


def test_a_slice_of_time_that_ends_goes_on_where_it_was(org, entity, monkeypatch):
    monkeypatch.setattr(deletions, "SLICE", 1)
    records = entity.create(*[{"Name": f"{n}"} for n in range(3)])
    hear(org, entity.listener)
    delete_for_good(entity, *records)
    job = asked(entity.listener, timezone.now() - timedelta(hours=1))

    for _ in range(20):
        reconciliation_job.run(job.pk, budget=-1)
    job.refresh_from_db()

    assert (job.state, job.looked_up, job.deletions_added) == ("done", 3, 3)


def test_ids_that_are_none_of_the_entity_hold_up_no_other(org, entity):
    records = entity.create({"Name": "there"}, {"Name": "gone"})
    hear(org, entity.listener)
    delete_for_good(entity, records[1])
    odd = entity.entries()[0]
    for number, record_id in enumerate(
        ("001*", "000000000000000AAA", "not an id", "00Q000000000001AAA")
    ):
        odd.pk, odd.record_id, odd.transaction_key = None, record_id, f"odd-{number}"
        odd.save(force_insert=True)

    job = compare(entity)

    assert entity.added() == [("DELETE", records[1])]
    assert job.deletions_added == 1


def test_thousands_are_looked_up_with_few_requests(org, entity):
    entity.create(*[{"Name": f"{n}"} for n in range(3000)])
    hear(org, entity.listener)
    org.forget_requests()

    job = compare(entity, window_start=timezone.now() + timedelta(hours=1),
                  window_end=timezone.now() + timedelta(hours=2))  # fmt: skip

    assert job.looked_up == 3000
    looked_up = [one for one in org.api_requests() if "/composite/" in one["path"]]
    assert len(looked_up) == 2


def test_it_waits_while_the_orgs_requests_of_the_day_are_nearly_used_up(org, entity, monkeypatch):
    entity.create(Name="Acme")
    hear(org, entity.listener)
    monkeypatch.setattr(org_requests, "usage_of", lambda _: (95_000, 100_000))
    job = asked(entity.listener, timezone.now() - timedelta(hours=1))

    reconciliation_job.run(job.pk)

    job.refresh_from_db()
    assert (job.state, job.attempts) == ("waiting", 0)
    assert "95,000 of the org's 100,000 daily API requests are used" in job.error
    monkeypatch.undo()
    Reconciliation.objects.update(due_at=a_moment_ago())
    assert run(job).looked_up == 1


def test_changes_that_the_stream_brings_during_it_are_not_recorded_twice(org, entity, monkeypatch):
    [record] = entity.create(Name="Acme")
    hear(org, entity.listener)
    entity.delete(record)
    org.post("recycle-bin/empty")
    monkeypatch.setattr(
        crash_points, "reach", lambda name: name == "read" and hear(org, entity.listener)
    )

    compare(entity)

    assert entity.added() == []
    assert [one.change_type for one in entity.entries()] == ["CREATE", "DELETE"]
    assert AuditLogEntry.objects.filter(change_type="DELETE").count() == 1


def test_many_records_gone_is_an_operators_question(org, entity, monkeypatch):
    """A user who has lost the permission to view all records sees the same."""
    monkeypatch.setattr(deletions, "MANY", 3)
    records = entity.create(*[{"Name": f"{n}"} for n in range(5)])
    hear(org, entity.listener)
    delete_for_good(entity, *records[:3])
    job = entity.lose()

    reconciliation_job.run(job.pk)

    job.refresh_from_db()
    assert (job.state, entity.added()) == ("waiting", [])
    assert "3 of 5 records that exist according to the audit log are not in Salesforce" in job.error
    assert f"reconcile_cdc --entity {entity.name} --accept-deletions" in job.error
    [incident] = Incident.objects.filter(listener=entity.listener)
    assert incident.closed_at is None
    assert job.error in incident.action

    command("reconcile_cdc", "--listener", entity.listener.name, "--accept-deletions")
    assert len(entity.added()) == 3
    Reconciliation.objects.update(due_at=a_moment_ago())
    run(job)
    incident.refresh_from_db()
    assert incident.closed_at


def test_a_smaller_part_is_recorded_without_a_question(org, entity, monkeypatch):
    monkeypatch.setattr(deletions, "MANY", 3)
    records = entity.create(*[{"Name": f"{n}"} for n in range(50)])
    hear(org, entity.listener)
    delete_for_good(entity, *records[:4])

    assert compare(entity).deletions_added == 4


def test_a_user_who_still_sees_most_of_many_records_is_asked_about(org, entity, monkeypatch):
    """The user may see the others through the role hierarchy, without the permission to view all
    records."""
    monkeypatch.setattr(deletions, "MANY", 3)
    records = entity.create(*[{"Name": f"{n}"} for n in range(20)])
    hear(org, entity.listener)
    delete_for_good(entity, *records[:3])
    job = entity.lose()

    reconciliation_job.run(job.pk)

    job.refresh_from_db()
    assert (job.state, entity.added()) == ("waiting", [])
    assert (
        "3 of 20 records that exist according to the audit log are not in Salesforce" in job.error
    )


def test_a_few_records_of_which_none_is_left_are_an_operators_question(org, entity):
    """A connection that leads to another org sees the same."""
    records = entity.create(*[{"Name": f"{n}"} for n in range(20)])
    hear(org, entity.listener)
    delete_for_good(entity, *records)
    job = entity.lose()

    reconciliation_job.run(job.pk)

    job.refresh_from_db()
    assert (job.state, entity.added()) == ("waiting", [])
    assert (
        "20 of 20 records that exist according to the audit log are not in Salesforce" in job.error
    )


def looking_up_only(entity) -> Reconciliation:
    """Return a comparison whose window has no changed record."""
    later = timezone.now() + timedelta(hours=1)
    return asked(entity.listener, later, window_end=later + timedelta(hours=1))


def test_records_gone_are_counted_over_all_slices(org, entity, monkeypatch):
    """A slice of a log with many changes of each record covers few records."""
    monkeypatch.setattr(deletions, "MANY", 3)
    monkeypatch.setattr(deletions, "SLICE", 4)
    records = entity.create(*[{"Name": f"{n}"} for n in range(12)])
    hear(org, entity.listener)
    delete_for_good(entity, *records[::4])
    job = looking_up_only(entity)

    for _ in range(20):
        reconciliation_job.run(job.pk, budget=-1)
    job.refresh_from_db()

    assert (
        "3 of 12 records that exist according to the audit log are not in Salesforce" in job.error
    )
    assert job.attempts > 1
    assert entity.added() == [], "neither before the last slice nor with another attempt"


def test_a_short_id_is_found_in_the_recycle_bin(org, entity):
    [record] = entity.create(Name="Acme")
    hear(org, entity.listener)
    AuditLogEntry.objects.filter(listener=entity.listener).update(record_id=record[:15])
    entity.delete(record)

    job = compare(entity, window_end=timezone.now() - timedelta(minutes=30))

    assert (job.deletions_added, entity.added()) == (0, []), "it is left to the stream"


def test_changes_before_a_deletion_that_was_found_do_not_bring_the_record_back(org, entity):
    """The listener is behind, so that the stream brings them after the comparison."""
    [record] = entity.create(Name="Acme")
    hear(org, entity.listener)
    entity.update(record, Phone="2")
    entity.delete(record)
    org.post("recycle-bin/empty")

    compare(entity)
    hear(org, entity.listener)

    [found] = entity.entries(source="reconcile")
    late = Delivery.objects.filter(entry__gt=found.pk).order_by("id")
    assert [one.entry.change_type for one in late] == ["UPDATE", "DELETE"]
    reason = f"the record was found deleted before (entry {found.pk})"
    assert {(one.state, one.error) for one in late} == {("skipped", reason)}


def test_a_question_without_an_answer_is_not_repeated_for_ever(org, entity, monkeypatch):
    """Each attempt looks up all records, in many slices of time, and uses the org's daily
    requests."""
    monkeypatch.setattr(deletions, "MANY", 3)
    monkeypatch.setattr(deletions, "SLICE", 4)
    records = entity.create(*[{"Name": f"{n}"} for n in range(8)])
    hear(org, entity.listener)
    delete_for_good(entity, *records[::2])
    job = looking_up_only(entity)

    for _ in range(100):
        reconciliation_job.run(job.pk, budget=-1)
    job.refresh_from_db()

    assert (job.state, job.attempts) == ("failed", reconciliation_job.MOST_ATTEMPTS)
    assert entity.added() == []
    assert Incident.objects.filter(listener=entity.listener, kind="reconciliation").exists()


def test_a_refused_entity_does_not_restart_the_others(org, entity, monkeypatch):
    """The other entity takes several slices of time, and is later in the alphabet."""
    monkeypatch.setattr(deletions, "SLICE", 1)
    records = entity.create(*[{"Name": f"{n}"} for n in range(3)])
    hear(org, entity.listener)
    delete_for_good(entity, records[0])
    entity.listener.channel = "/data/ChangeEvents"
    entity.listener.save()
    make_mapping(entity.listener, entity="Unknown__c")
    make_mapping(entity.listener, entity="Another__c")
    job = looking_up_only(entity)

    with unseen_setup(org):
        for _ in range(20):
            reconciliation_job.run(job.pk, budget=-1)
    job.refresh_from_db()

    assert job.deletions_added == 1
    assert job.cursor["done"] == [entity.name]
    assert "Another__c: " in job.error
    assert "Unknown__c: " in job.error


def test_a_restore_that_the_log_lacks_is_recorded(org, entity):
    """The record was found deleted, after its last change, while the user could not see it."""
    [record] = entity.create(Name="Acme")
    hear(org, entity.listener)
    [created] = entity.entries()
    AuditLogEntry.objects.create(
        listener=entity.listener,
        channel=entity.listener.channel,
        entity_name=entity.name,
        record_id=record,
        change_type="DELETE",
        transaction_key="reconcile:1",
        sequence_number=1,
        commit_timestamp=created.commit_timestamp + 60_000,
        source="reconcile",
        received_at=timezone.now(),
    )

    job = compare(entity)

    assert entity.added()[1:] == [("UNDELETE", record)]
    assert (job.compared, job.added, job.known_in_part) == (1, 1, 0)
    assert compare(entity).added == 0
