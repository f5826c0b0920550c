"""Whether a change of the stream is older than what was read of its record over REST.

What was read holds the changes up to then; those that the stream brings later would undo newer
ones. Salesforce's rule: apply a later event only if its LastModifiedDate is newer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from audit.models import AuditLogEntry
from listeners.salesforce.records import milliseconds

SECOND = 1000


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a record: the entry that has it, its LastModifiedDate, and the moment up
    to which every committed change is in it; both in ms."""

    entry_id: int
    as_of: int
    read_at: int

    def holds(self, change: AuditLogEntry) -> bool:
        """Whether a change is in what was read; False where that is not certain."""
        if change.change_type == "DELETE":  # the record was there: it came back after this
            return change.commit_timestamp < self.as_of
        modified = milliseconds(change.changed_data.get("LastModifiedDate"))
        # LastModifiedDate has whole seconds, so that within one it does not tell who was first.
        stamp = change.commit_timestamp // SECOND * SECOND if modified is None else modified
        if stamp == self.as_of:
            return change.commit_timestamp < self.read_at
        return stamp < self.as_of

    @classmethod
    def of(cls, entry: AuditLogEntry) -> Reading:
        """Of an entry that was read: with `as_of`."""
        return cls(entry.pk, entry.as_of or 0, entry.read_at or 0)

    @property
    def reason(self) -> str:
        return f"not newer than the record as read from Salesforce (entry {self.entry_id})"


def stale(changes: Sequence[AuditLogEntry]) -> dict[int, list[Reading]]:
    """Of recorded changes of one listener, the ids of those that are not newer than what was read
    before they came, each with the readings that hold it. One query."""
    from_stream = [change for change in changes if change.source == AuditLogEntry.Source.STREAM]
    readings = _readings(from_stream)
    found = {
        change.pk: [
            reading
            for reading in readings.get(change.record_id, ())
            if reading.entry_id < change.pk and reading.holds(change)
        ]
        for change in from_stream
    }
    return {pk: holding for pk, holding in found.items() if holding}


def _readings(changes: Collection[AuditLogEntry]) -> dict[str, list[Reading]]:
    """What was ever read of these records, the newest last."""
    if not changes:
        return {}
    read = (
        AuditLogEntry.objects.filter(
            listener_id=next(iter(changes)).listener_id,
            record_id__in={change.record_id for change in changes},
            as_of__isnull=False,
        )
        .order_by("as_of", "read_at", "id")
        .only("record_id", "as_of", "read_at")
    )
    readings: dict[str, list[Reading]] = {}
    for entry in read:
        readings.setdefault(entry.record_id, []).append(Reading.of(entry))
    return readings
