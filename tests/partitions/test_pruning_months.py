"""Retention drops months: with their deliveries, without what is still needed."""

from typing import Any

import psycopg
import pytest
from django.core.management import CommandError
from django.db import connection
from django.utils import timezone

from audit.models import AuditLogEntry, DirtyRecord, Reconciliation
from audit.partitions import brief
from audit.partitions.months import Month
from audit.partitions.table import REST, gone, name_of, parts
from consumer import prune, prune_months
from handlers.models import Delivery, DeliveryAttempt
from handlers.runner import run_delivery
from listeners.models import Position
from tests.commands.running import run
from tests.partitions.parts import ago, committed, receive, rows_in
from tests.sample_data import make_mapping

pytestmark = pytest.mark.usefixtures("months")

#: Whole months lie before it, and whole ones after.
DAYS = "70"


@pytest.fixture
def old(listener):
    """A change of every ten days of the last 150 and more, each delivered in one attempt."""
    make_mapping(listener, handler="tests.skip")
    for number in range(16):
        at = ago(5 + 10 * number)
        receive(listener, committed(at, f"001{number}"), at=at)
    for pk in Delivery.objects.values_list("id", flat=True):
        run_delivery(pk)
    return listener


def records() -> list[str]:
    return list(AuditLogEntry.objects.order_by("-id").values_list("record_id", flat=True))[::-1]


def past() -> list[str]:
    """The names of the months that go."""
    return [part.name for part in prune_months.past(ago(int(DAYS)))]


def first_kept() -> int:
    """The beginning of the oldest month that is not wholly past."""
    return min(part.since or 0 for part in parts() if part.is_month and part.name not in past())


def test_months_go_whole_and_younger_ones_stay_whole(old):
    going = past()
    assert len([name for name in going if rows_in(name)]) >= 2
    kept = list(
        AuditLogEntry.objects.filter(commit_timestamp__gte=first_kept()).values_list(
            "record_id", flat=True
        )
    )
    number = 16 - len(kept)

    dry = run("prune_audit_log", "--older-than", DAYS, "--dry-run")
    said = run("prune_audit_log", "--older-than", DAYS)

    assert sorted(records()) == sorted(kept)
    assert Delivery.objects.count() == DeliveryAttempt.objects.count() == len(kept)
    assert said.lines[:2] == [f"entries: {number}", f"deliveries: {number}"]
    assert dry.lines == [*said.lines, "dry run: nothing was deleted"]
    assert past() == gone() == []
    assert run("prune_audit_log", "--older-than", DAYS).lines[0] == "entries: 0"


def update(entry: AuditLogEntry, **fields: Any) -> None:
    Delivery.objects.filter(entry=entry).update(**fields)


@pytest.fixture
def needed(old, listener) -> dict[str, AuditLogEntry]:
    """Old entries of one month, each needed for another reason."""
    soon, reasons = timezone.now(), [*Delivery.UNENDED, "halting", "dirty", "due", "late"]
    for reason in reasons:
        receive(listener, committed(ago(140), reason), at=ago(140))
    entries = {reason: AuditLogEntry.objects.get(record_id=reason) for reason in reasons}
    Delivery.objects.filter(entry__in=entries.values()).update(state="succeeded")
    for state in Delivery.UNENDED:
        update(entries[state], state=state, due_at=soon, claim_deadline=soon)
    update(entries["halting"], state="dead", halts=True)
    DirtyRecord.objects.create(
        entry=entries["dirty"], listener=listener, entity_name="Account", due_at=soon
    )
    due = {"listener": listener, "reason": "overflow", "window_end": soon, "due_at": soon}
    Reconciliation.objects.create(entry=entries["due"], created_at=soon, **due)
    AuditLogEntry.objects.filter(pk=entries["late"].pk).update(received_at=soon)
    return entries


def test_what_is_still_needed_moves_and_goes_once_it_is_not(needed, listener):
    named = AuditLogEntry.objects.filter(record_id__in=needed).order_by("id")
    before = list(named.values())

    dry = run("prune_audit_log", "--older-than", DAYS, "--dry-run").lines
    said = run("prune_audit_log", "--older-than", DAYS).lines

    assert dry[:-1] == said
    moved = AuditLogEntry.objects.filter(commit_timestamp__lt=first_kept())
    assert list(moved.order_by("id").values()) == before
    assert rows_in(REST) == Delivery.objects.filter(entry__in=moved).count() == 9
    assert "older entries that are still needed, and stay: 8" in said  # late: it is not older
    assert receive(listener, committed(ago(1), "new")).entries == 1

    Delivery.objects.filter(entry__in=moved).update(state="dead", halts=False)
    DirtyRecord.objects.all().delete()
    Reconciliation.objects.update(state="done")
    moved.update(received_at=ago(150))
    assert run("prune_audit_log", "--older-than", DAYS).lines[0] == "entries: 9"
    assert rows_in(REST) == 0


def test_a_month_of_which_much_is_needed_stays(old, monkeypatch):
    monkeypatch.setattr(prune_months, "MOVED", 0)
    entry = AuditLogEntry.objects.get(record_id="00114")
    update(entry, state="dead", halts=True)
    month = name_of(Month.at(entry.commit_timestamp))
    number = rows_in(month)

    said = run("prune_audit_log", "--older-than", DAYS)

    assert past() == [month]
    assert rows_in(month) == number > 0
    assert f"older entries that are still needed, and stay: {number}" in said.lines


def test_what_was_broken_off_is_ended_by_the_next_one(old):
    pruned = prune.prune(
        int(DAYS), timezone.now(), is_over=lambda: any(rows_in(name) for name in gone())
    )
    [name] = gone()
    assert not pruned.is_finished
    assert len(records()) == 16 - rows_in(name)
    assert Delivery.objects.count() == 16

    # What nobody finds any more is not sent again, and can't come back.
    run("redeliver_cdc_events", "--state", "skipped", "--reason", "again")
    found = Delivery.objects.filter(entry__in=AuditLogEntry.objects.all())
    assert set(Delivery.objects.difference(found).values_list("state", flat=True)) == {"skipped"}
    assert not found.filter(state="skipped").exists()
    found.update(state="skipped")
    with pytest.raises(CommandError, match="run `prune_audit_log` once more"):
        undo()

    prune.prune(int(DAYS), timezone.now())

    assert gone() == past() == []
    assert Delivery.objects.count() == DeliveryAttempt.objects.count() == len(records())


def undo() -> None:
    Position.objects.update(lease_until=None)
    run("partition_audit_log", "--undo")


def test_a_long_reader_is_waited_for_and_then_left_alone(old, monkeypatch):
    monkeypatch.setattr(brief, "PATIENCE", 0.05)
    monkeypatch.setattr(brief, "PAUSE", 0)
    number = len(past())
    with psycopg.connect(**connection.get_connection_params()) as reader:
        reader.execute("SELECT count(*) FROM audit_auditlogentry")
        run("prune_audit_log", "--older-than", DAYS)
        assert len(past()) == number
        assert len(records()) == 16

    run("prune_audit_log", "--older-than", DAYS)

    assert past() == []


def test_a_long_reader_of_the_listeners_keeps_nobody_else_from_them(old, monkeypatch):
    monkeypatch.setattr(brief, "PATIENCE", 0.05)
    monkeypatch.setattr(brief, "PAUSE", 0)
    with psycopg.connect(**connection.get_connection_params()) as reader:
        reader.execute("SELECT count(*) FROM listeners_listener")
        run("prune_audit_log", "--older-than", DAYS)
        assert past() == []
        assert len(gone()) > 1
        assert Delivery.objects.count() == len(records())

    assert int(run("prune_audit_log", "--older-than", DAYS).lines[0].split()[-1]) > 0
    assert gone() == []


def test_slices_of_time_come_to_an_end_however_short(old, monkeypatch):
    monkeypatch.setattr(prune_months, "ROWS", 1)

    def slice_of_two_steps() -> bool:
        looks = iter([False, False])
        return prune.prune(int(DAYS), timezone.now(), is_over=lambda: next(looks, True)).is_finished

    assert any(slice_of_two_steps() for _ in range(40))
    assert gone() == past() == []
    assert Delivery.objects.count() == DeliveryAttempt.objects.count() == len(records())


def test_another_pruning_may_be_faster(old):
    def another_ends_it() -> bool:
        if any(rows_in(name) for name in gone()):
            prune.prune(int(DAYS), timezone.now())
        return False

    pruned = prune.prune(int(DAYS), timezone.now(), is_over=another_ends_it)

    assert pruned.is_finished
    assert gone() == past() == []
    assert Delivery.objects.count() == DeliveryAttempt.objects.count() == len(records())


def test_what_was_there_before_goes_row_by_row_until_it_is_past(listener):
    undo()
    make_mapping(listener, handler="tests.skip")
    receive(listener, committed(ago(100), "old"), at=ago(100))
    receive(listener, committed(ago(1), "new"), at=ago(1))
    for pk in Delivery.objects.values_list("id", flat=True):
        run_delivery(pk)
    run("partition_audit_log")

    said = run("prune_audit_log", "--older-than", DAYS)

    assert said.lines[:2] == ["entries: 1", "deliveries: 1"]
    assert records() == ["new"]
