"""Releases deliveries of gap events that wait in their chain until their record is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from audit.models import AuditLogEntry
from handlers.models import Delivery
from handlers.ordering.stale_changes import Reading
from handlers.routing.router import route_with_gaps
from handlers.sdk.outcomes import MAPPING_DELETED

State = Delivery.State

NOT_WANTED = "the record as read from Salesforce does not match its mapping"
ROWS = 500


def end_waiting(ends: Mapping[int, AuditLogEntry | str], now: datetime) -> list[int]:
    """Release the deliveries of gap entries and return the ids of those that can start.

    `ends` maps each gap entry's id to the entry that has its data (the gap entry itself if it is
    delivered unchanged), or to the reason why nothing is delivered. Inside the caller's
    transaction.
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
    # Where the record as read is not delivered, later changes still have to be.
    delivered = {delivery.chain for delivery in waiting if delivery.state != State.SKIPPED} - {""}
    _skip_stale(delivered, ends, now)
    unordered = [delivery.pk for delivery in waiting if delivery.state == State.READY]
    return [*unordered, *(follower.id for follower in Delivery.objects.promote(chains))]


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
    """Return why the mapping does not get the record as read, or ""."""
    mapping = delivery.active_mapping
    if mapping is None:
        return MAPPING_DELETED
    routed = route_with_gaps(entry, [mapping])
    return routed[0].skipped if routed else NOT_WANTED


def _skip_stale(
    chains: Collection[str], ends: Mapping[int, AuditLogEntry | str], now: datetime
) -> None:
    """Skip changes that a reading already contains, since they would undo newer ones."""
    readings: dict[str, tuple[int, Reading]] = {}
    for gap_id, end in sorted(ends.items()):
        if isinstance(end, AuditLogEntry) and end.as_of is not None:
            readings.setdefault(end.record_id, (gap_id, Reading.of(end)))
    behind = Delivery.objects.filter(
        chain__in=chains,
        state=State.BLOCKED,
        awaits_record=False,
        entry__source=AuditLogEntry.Source.STREAM,
        entry__record_id__in=list(readings),
    ).select_related("entry")
    stale = []
    for delivery in behind:
        gap_id, reading = readings[delivery.entry.record_id]
        if delivery.entry_id > gap_id and reading.holds(delivery.entry):
            delivery.state, delivery.finished_at = State.SKIPPED, now
            delivery.error = reading.reason
            stale.append(delivery)
    Delivery.objects.bulk_update(stale, ["state", "finished_at", "error"], batch_size=ROWS)
