"""Retention deletes old entries, and keeps those that are still needed."""

import threading
from datetime import timedelta
from itertools import count

import pytest
from django.conf import settings
from django.core.management import CommandError
from django.db import connection
from django.utils import timezone

from audit.models import (
    AuditLogEntry,
    DirtyRecord,
    Incident,
    Quarantined,
    Reconciliation,
    Throughput,
)
from consumer import retention, tasks
from handlers.models import Delivery, DeliveryAttempt
from tests.commands.running import record, run
from tests.running import run_delivery
from tests.sample_data import change, make_mapping
from tests.servers import PATIENCE_SECONDS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]

OLD = timedelta(days=31)


@pytest.fixture
def old(listener):
    """Six old entries, each with a delivery that was skipped in its one attempt, and a new one."""
    make_mapping(listener, handler="tests.skip")
    record(listener, *(change(records=[f"001{number}"]) for number in range(6)))
    for pk in Delivery.objects.values_list("id", flat=True):
        run_delivery(pk)
    for number, entry in enumerate(AuditLogEntry.objects.order_by("id")):
        entry.received_at = timezone.now() - OLD + timedelta(minutes=number // 4)
        entry.save()
    record(listener, change(records=["new"]))
    return listener


def records() -> list[str]:
    return list(AuditLogEntry.objects.order_by("id").values_list("record_id", flat=True))


def of(record_id: str) -> AuditLogEntry:
    found: AuditLogEntry = AuditLogEntry.objects.get(record_id=record_id)
    return found


def test_old_entries_go_with_their_deliveries_and_attempts(old):
    said = run("prune_audit_log", "--older-than", "30")

    assert records() == ["new"]
    assert Delivery.objects.count() == 1
    assert DeliveryAttempt.objects.count() == 0
    assert said.lines[:2] == ["entries: 6", "deliveries: 6"]


def test_a_dry_run_counts_and_deletes_nothing(old):
    dry = run("prune_audit_log", "--older-than", "30", "--dry-run")

    assert len(records()) == 7
    assert dry.lines == [
        *run("prune_audit_log", "--older-than", "30").lines,
        "dry run: nothing was deleted",
    ]


def test_what_is_younger_stays(old):
    run("prune_audit_log", "--older-than", "32")

    assert len(records()) == 7


def test_what_is_still_needed_stays(old, listener):
    soon = timezone.now()
    Delivery.objects.filter(entry=of("0010")).update(state="retrying", due_at=soon)
    Delivery.objects.filter(entry=of("0011")).update(state="dead", halts=True)
    DirtyRecord.objects.create(
        entry=of("0012"), listener=listener, entity_name="Account", due_at=soon
    )
    due = {"listener": listener, "reason": "overflow", "window_end": soon, "due_at": soon}
    Reconciliation.objects.create(entry=of("0013"), created_at=soon, **due)
    done = Reconciliation.objects.create(entry=of("0014"), created_at=soon, state="done", **due)
    Delivery.objects.filter(entry=of("0015")).update(state="dead")

    said = run("prune_audit_log", "--older-than", "30")

    assert records() == ["0010", "0011", "0012", "0013", "new"]
    assert "older entries kept because they are still needed: 4" in said.lines
    done.refresh_from_db()
    assert done.entry is None


def test_small_steps_reach_everything_and_pass_what_stays(old, monkeypatch):
    monkeypatch.setattr(retention, "ROWS", 2)
    Delivery.objects.filter(entry=of("0010")).update(state="ready")
    Delivery.objects.filter(entry=of("0013")).update(state="ready")

    assert retention.prune(30, timezone.now()).rows["entries"] == 4

    assert records() == ["0010", "0013", "new"]


def test_entries_that_become_needed_during_the_pruning_stay(old):
    before = timezone.now() - timedelta(days=30)
    [ids] = retention.pages(before, 10)
    Delivery.objects.filter(entry=of("0010")).update(state="ready")

    assert retention.delete_entries(ids, before)["entries"] == 5

    assert records() == ["0010", "new"]


def test_closed_incidents_quarantined_messages_and_counts_go_too(listener):
    now = timezone.now()
    times = {"opened_at": now - OLD, "last_seen_at": now - OLD}
    for kind, closed_at in [("gap", now - OLD), ("outage", now), ("undecodable", None)]:
        Incident.objects.create(listener=listener, kind=kind, closed_at=closed_at, **times)
    for digest, ingested_at in [("read", now), ("unread", None)]:
        Quarantined.objects.create(
            listener=listener, digest=digest, received_at=now - OLD, ingested_at=ingested_at
        )
    for minute in (now - OLD, now):
        Throughput.objects.create(listener=listener, minute=minute)

    run("prune_audit_log", "--older-than", "30")

    assert set(Incident.objects.values_list("kind", flat=True)) == {"outage", "undecodable"}
    assert Quarantined.objects.get().digest == "unread"
    assert Throughput.objects.get().minute == now

    Incident.objects.update(closed_at=now)
    run("prune_audit_log", "--older-than", "30")
    assert not Quarantined.objects.exists()


@pytest.mark.parametrize("days", ["3", "0", "-1", "x", "100000000", ""])
def test_too_few_days_are_refused(old, days):
    with pytest.raises(CommandError, match="is not a number of days from 4"):
        run("prune_audit_log", f"--older-than={days}")

    assert len(records()) == 7


def test_the_task_prunes_as_the_setting_says(old, settings):
    settings.CDC_RETENTION_DAYS = None
    tasks.run_prune()
    assert len(records()) == 7

    settings.CDC_RETENTION_DAYS = 30
    tasks.run_prune()
    assert records() == ["new"]


def test_what_the_task_has_no_time_for_is_left_to_another(old, monkeypatch):
    monkeypatch.setattr(retention, "ROWS", 2)
    calls = count()

    pruned = retention.prune(30, timezone.now(), is_over=lambda: next(calls) >= 2)

    assert (pruned.is_finished, pruned.rows["entries"], len(records())) == (False, 4, 3)


@pytest.mark.skipif(
    settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"),
    reason="SQLite takes one writer at a time; TEST_DATABASE=postgres runs this",
)
def test_changes_are_recorded_while_it_prunes(old, monkeypatch):
    monkeypatch.setattr(retention, "ROWS", 2)
    copies = [change(records=[f"late{number}"]) for number in range(40)]
    has_pruned, has_recorded = threading.Event(), threading.Event()

    def receive():
        try:
            record(old, copies[0])
            assert has_pruned.wait(PATIENCE_SECONDS)
            for one in copies[1:]:
                record(old, one)
                has_recorded.set()
        finally:
            connection.close()

    def wait_for_a_change(_):
        has_pruned.set()
        assert has_recorded.wait(PATIENCE_SECONDS)

    receiving = threading.Thread(target=receive)
    receiving.start()
    while receiving.is_alive():
        retention.prune(30, timezone.now(), watch=wait_for_a_change)
        AuditLogEntry.objects.filter(record_id="new").update(received_at=timezone.now() - OLD)
    receiving.join()

    assert [one for one in records() if one.startswith("late")] == [
        f"late{number}" for number in range(40)
    ]
    assert not any(one.startswith("001") for one in records())
