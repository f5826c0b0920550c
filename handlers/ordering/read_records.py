"""Records read over REST, among the streamed changes of the same record.

A record read over REST contains all changes up to that moment, and a record found deleted has no
later ones. A streamed change that arrives afterwards is stale: it would undo that state.
Salesforce's rule: apply a later event only if its LastModifiedDate is newer.

Deliveries of gap events wait in their chain until their record is read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from audit.db.prepared import Param, Prepared
from audit.models import AuditLogEntry
from handlers.models import Delivery
from handlers.routing.router import route_with_gaps
from handlers.sdk.outcomes import MAPPING_DELETED
from listeners.salesforce.rest.records import milliseconds

State = Delivery.State

SECOND = 1000
NOT_WANTED = "the record as read from Salesforce does not match its mapping"
ROWS = 500


@dataclass(frozen=True, slots=True)
class Reading:
    """A record as read over REST.

    entry_id  the audit log entry that has the record
    as_of     the record's LastModifiedDate, in ms
    read_at   the moment up to which the reading contains every committed change, in ms
    """

    entry_id: int
    as_of: int
    read_at: int

    def holds(self, change: AuditLogEntry) -> bool:
        """Return whether the reading contains a change; False if that is uncertain."""
        if change.change_type == "DELETE":  # the record existed when read: it was restored later
            return change.commit_timestamp < self.as_of
        modified = milliseconds(change.changed_data.get("LastModifiedDate"))
        # LastModifiedDate has whole seconds and gives no order within a second.
        stamp = change.commit_timestamp // SECOND * SECOND if modified is None else modified
        if stamp == self.as_of:
            return change.commit_timestamp < self.read_at
        return stamp < self.as_of

    @classmethod
    def of(cls, entry: AuditLogEntry) -> Reading:
        """Return the reading of an entry that has `as_of`."""
        return cls(entry.pk, entry.as_of or 0, entry.read_at or 0)

    @property
    def reason(self) -> str:
        return f"not newer than the record as read from Salesforce (entry {self.entry_id})"


@dataclass(frozen=True, slots=True)
class Deletion:
    """A record that a comparison found deleted: the entry that says so, and the second, in ms."""

    entry_id: int
    stamp: int

    def holds(self, change: AuditLogEntry) -> bool:
        """Return whether a change is this deletion, streamed late, or older than it.

        In the same second only a restore may be newer.
        """
        second = 0 if change.change_type == "UNDELETE" else SECOND
        return change.commit_timestamp < self.stamp + second

    @classmethod
    def of(cls, entry: AuditLogEntry) -> Deletion:
        """Return the deletion of an entry that a comparison recorded."""
        return cls(entry.pk, entry.commit_timestamp)

    @property
    def reason(self) -> str:
        return f"the record was found deleted before (entry {self.entry_id})"


Known = Reading | Deletion


def stale(changes: Sequence[AuditLogEntry]) -> dict[int, list[Known]]:
    """Return the changes that readings or deletions recorded earlier already contain.

    The result maps a change's entry id to these readings and deletions. All changes are of one
    listener. One query.
    """
    from_stream = [change for change in changes if change.source == AuditLogEntry.Source.STREAM]
    known = _known(from_stream)
    holders_of = {
        change.pk: [
            holder
            for holder in known[change.record_id]
            if holder.entry_id < change.pk and holder.holds(change)
        ]
        for change in from_stream
        if change.record_id in known
    }
    return {pk: holders for pk, holders in holders_of.items() if holders}


_READ_OR_DELETED = Prepared(
    lambda: (
        AuditLogEntry.objects.filter(
            AuditLogEntry.FOUND_OUT,
            listener_id=Param("listener_id"),
            record_id__among=Param("record_ids"),
        )
        .order_by("as_of", "read_at", "id")
        .only("record_id", "as_of", "read_at", "commit_timestamp")
    )
)


def _known(changes: Collection[AuditLogEntry]) -> dict[str, list[Known]]:
    """Return all readings and deletions of the changes' records, by record id, newest last."""
    if not changes:
        return {}
    entries = _READ_OR_DELETED.objects(
        listener_id=next(iter(changes)).listener_id,
        record_ids=list({change.record_id for change in changes}),
    )
    known: dict[str, list[Known]] = {}
    for entry in entries:
        holder = Deletion.of(entry) if entry.as_of is None else Reading.of(entry)
        known.setdefault(entry.record_id, []).append(holder)
    return known


def release_gaps(ends: Mapping[int, AuditLogEntry | str], now: datetime) -> list[int]:
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
    Delivery.objects.lock_occupied_chains(chains)
    for delivery in waiting:
        _end(delivery, ends[delivery.entry_id], now)
    Delivery.objects.bulk_update(
        waiting,
        ["entry", "state", "awaits_record", "awaits_mirror", "error", "finished_at"],
        batch_size=ROWS,
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
        delivery.awaits_mirror = False
    elif not delivery.chain and not delivery.awaits_mirror:
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
    skipped = []
    for delivery in behind:
        gap_id, reading = readings[delivery.entry.record_id]
        if delivery.entry_id > gap_id and reading.holds(delivery.entry):
            delivery.state, delivery.finished_at = State.SKIPPED, now
            delivery.error, delivery.awaits_mirror = reading.reason, False
            skipped.append(delivery)
    columns = ["state", "finished_at", "error", "awaits_mirror"]
    Delivery.objects.bulk_update(skipped, columns, batch_size=ROWS)
