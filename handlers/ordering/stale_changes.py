"""Whether a change of the stream is older than what was found out about its record over REST.

A record that was read holds the changes up to then, and one that was found deleted has no later
ones; changes that the stream brings afterwards would undo that. Salesforce's rule: apply a later
event only if its LastModifiedDate is newer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from audit.db.prepared import Given, Prepared
from audit.models import AuditLogEntry
from listeners.salesforce.rest.records import milliseconds

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
        """Whether it is this deletion, which the stream brings late, or a change before it. Only a
        restore of the same second may have come after it."""
        second = 0 if change.change_type == "UNDELETE" else SECOND
        return change.commit_timestamp < self.stamp + second

    @classmethod
    def of(cls, entry: AuditLogEntry) -> Deletion:
        """Of a deletion that a comparison recorded."""
        return cls(entry.pk, entry.commit_timestamp)

    @property
    def reason(self) -> str:
        return f"the record was found deleted before (entry {self.entry_id})"


Known = Reading | Deletion


def stale(changes: Sequence[AuditLogEntry]) -> dict[int, list[Known]]:
    """Of recorded changes of one listener, the ids of those that are not newer than what was found
    out before they came, each with what holds it. One query."""
    from_stream = [change for change in changes if change.source == AuditLogEntry.Source.STREAM]
    known = _known(from_stream)
    found = {
        change.pk: [
            one
            for one in known.get(change.record_id, ())
            if one.entry_id < change.pk and one.holds(change)
        ]
        for change in from_stream
    }
    return {pk: holding for pk, holding in found.items() if holding}


_FOUND_OUT = Prepared(
    lambda: (
        AuditLogEntry.objects.filter(
            AuditLogEntry.FOUND_OUT,
            listener_id=Given("listener_id"),
            record_id__among=Given("record_ids"),
        )
        .order_by("as_of", "read_at", "id")
        .only("record_id", "as_of", "read_at", "commit_timestamp")
    )
)


def _known(changes: Collection[AuditLogEntry]) -> dict[str, list[Known]]:
    """What was ever read of these records, the newest last, and which were found deleted."""
    if not changes:
        return {}
    found = _FOUND_OUT.objects(
        listener_id=next(iter(changes)).listener_id,
        record_ids=list({change.record_id for change in changes}),
    )
    known: dict[str, list[Known]] = {}
    for entry in found:
        one = Deletion.of(entry) if entry.as_of is None else Reading.of(entry)
        known.setdefault(entry.record_id, []).append(one)
    return known
