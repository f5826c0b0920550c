"""Whether a change of the stream is older than what was read of its record over REST.

What was read holds the changes up to then; those that the stream brings later would undo newer
ones. Salesforce's rule: apply a later event only if its LastModifiedDate is newer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from audit.models import AuditLogEntry
from audit.prepared import Given, Prepared
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


@dataclass(frozen=True, slots=True)
class Deletion:
    """A record that a comparison found deleted, by the entry that says so; to the second, in ms."""

    entry_id: int
    stamp: int

    def holds(self, change: AuditLogEntry) -> bool:
        """Whether it is this deletion, which the stream brings late, or one before it."""
        return change.change_type == "DELETE" and change.commit_timestamp < self.stamp + SECOND

    @property
    def reason(self) -> str:
        return f"the record was found deleted before (entry {self.entry_id})"


Known = Reading | Deletion


def stale(changes: Sequence[AuditLogEntry]) -> dict[int, list[Known]]:
    """Of recorded changes of one listener, the ids of those that are not newer than what was read
    before they came, each with what holds it. One query, and one more where records were
    deleted."""
    from_stream = [change for change in changes if change.source == AuditLogEntry.Source.STREAM]
    readings: defaultdict[str, list[Known]] = defaultdict(list, _readings(from_stream))
    for record_id, deletion in _deletions(from_stream):
        readings[record_id].append(deletion)
    found = {
        change.pk: [
            reading
            for reading in readings.get(change.record_id, ())
            if reading.entry_id < change.pk and reading.holds(change)
        ]
        for change in from_stream
    }
    return {pk: holding for pk, holding in found.items() if holding}


def _deletions(changes: Collection[AuditLogEntry]) -> list[tuple[str, Deletion]]:
    deleted = {change.record_id for change in changes if change.change_type == "DELETE"}
    if not deleted:
        return []
    found = AuditLogEntry.objects.filter(
        listener_id=next(iter(changes)).listener_id,
        record_id__among=deleted,
        source=AuditLogEntry.Source.RECONCILE,
        change_type="DELETE",
    )
    rows = found.order_by("id").values_list("record_id", "pk", "commit_timestamp")
    return [(record_id, Deletion(pk, stamp)) for record_id, pk, stamp in rows]


_READ = Prepared(
    lambda: (
        AuditLogEntry.objects.filter(
            listener_id=Given("listener_id"),
            record_id__among=Given("record_ids"),
            as_of__isnull=False,
        )
        .order_by("as_of", "read_at", "id")
        .only("record_id", "as_of", "read_at")
    )
)


def _readings(changes: Collection[AuditLogEntry]) -> dict[str, list[Known]]:
    """What was ever read of these records, the newest last."""
    if not changes:
        return {}
    read = _READ.objects(
        listener_id=next(iter(changes)).listener_id,
        record_ids=list({change.record_id for change in changes}),
    )
    readings: dict[str, list[Known]] = {}
    for entry in read:
        readings.setdefault(entry.record_id, []).append(Reading.of(entry))
    return readings
