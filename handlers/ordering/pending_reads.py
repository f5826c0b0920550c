"""Deliveries that hold their place in a chain until their record is read: how the waiting ends."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from audit.models import AuditLogEntry
from handlers.models import Delivery
from handlers.ordering.stale_changes import Reading
from handlers.routing.router import route_with_gaps
from handlers.sdk.outcomes import MAPPING_DELETED

State = Delivery.State

NOT_WANTED = "the record as read from Salesforce is not one that its mapping asks for"
ROWS = 500


def end_waiting(ends: Mapping[int, AuditLogEntry | str], now: datetime) -> list[int]:
    """Let the deliveries of gap entries go on; the ids of those that can begin.

    `ends`: for each gap entry's id the entry that has its data, or itself where it is delivered as
    it is, or why nothing is delivered. Inside the caller's transaction.
    """
    waiting = list(
        Delivery.objects.filter(entry__in=list(ends), awaits_record=True)
        .select_related("mapping")
        .order_by("id")
    )
    chains = {delivery.chain for delivery in waiting} - {""}
    Delivery.objects.hold_chains(chains)
    for delivery in waiting:
        _end(delivery, ends[delivery.entry_id], now)
    Delivery.objects.bulk_update(
        waiting, ["entry", "state", "awaits_record", "error", "finished_at"], batch_size=ROWS
    )
    # Where what was read goes to nobody, what came after it is still news.
    told = {delivery.chain for delivery in waiting if delivery.state != State.SKIPPED} - {""}
    _skip_stale(told, ends, now)
    unordered = [delivery.pk for delivery in waiting if delivery.state == State.READY]
    return [*unordered, *(one.id for one in Delivery.objects.promote_all(chains))]


def _end(delivery: Delivery, end: AuditLogEntry | str, now: datetime) -> None:
    if isinstance(end, AuditLogEntry):
        delivery.entry = end
        end = _unwanted(delivery, end)
    delivery.awaits_record = False
    delivery.error = end
    if end:
        delivery.state, delivery.finished_at = State.SKIPPED, now
    elif not delivery.chain:
        delivery.state = State.READY


def _unwanted(delivery: Delivery, entry: AuditLogEntry) -> str:
    """Why its mapping does not ask for what was read; empty if it does."""
    mapping = delivery.asked_by
    if mapping is None:
        return MAPPING_DELETED
    routed = route_with_gaps(entry, [mapping])
    return routed[0].skipped if routed else NOT_WANTED


def _skip_stale(
    chains: Collection[str], ends: Mapping[int, AuditLogEntry | str], now: datetime
) -> None:
    """What came after a gap event and is in what was read: it would undo newer changes."""
    read: dict[str, tuple[int, Reading]] = {}
    for gap_id, end in sorted(ends.items()):
        if isinstance(end, AuditLogEntry) and end.as_of is not None:
            read.setdefault(end.record_id, (gap_id, Reading.of(end)))
    behind = Delivery.objects.filter(
        chain__in=chains,
        state=State.BLOCKED,
        awaits_record=False,
        entry__source=AuditLogEntry.Source.STREAM,
        entry__record_id__in=list(read),
    ).select_related("entry")
    old = []
    for delivery in behind:
        gap_id, reading = read[delivery.entry.record_id]
        if delivery.entry_id > gap_id and reading.holds(delivery.entry):
            delivery.state, delivery.finished_at = State.SKIPPED, now
            delivery.error = reading.reason
            old.append(delivery)
    Delivery.objects.bulk_update(old, ["state", "finished_at", "error"], batch_size=ROWS)
