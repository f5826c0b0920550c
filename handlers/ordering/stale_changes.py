"""Detects streamed changes that are older than the state of their record as read over REST.

A record read over REST contains all changes up to that moment, and a record found deleted has no
later ones. A streamed change that arrives afterwards would undo that state. Salesforce's rule:
apply a later event only if its LastModifiedDate is newer.
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
            for holder in known.get(change.record_id, ())
            if holder.entry_id < change.pk and holder.holds(change)
        ]
        for change in from_stream
    }
    return {pk: holders for pk, holders in holders_of.items() if holders}


_READ_OR_DELETED = Prepared(
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
