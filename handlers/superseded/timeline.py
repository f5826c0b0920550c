"""The recorded changes of one record, in the order in which Salesforce committed them. Pure.

Changes of the stream are in the order of their entries. A record that was read over REST holds the
changes that were committed before, whenever these were recorded: its entry comes after the last
change that it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from audit.models import AuditLogEntry
from handlers.ordering.stale_changes import Deletion, Reading
from listeners.salesforce.rest.records import milliseconds

#: How much later than `read_at` a record may have been read, in ms.
READ_MARGIN = 60_000
DELETIONS = frozenset({"DELETE", "GAP_DELETE"})

_Event = tuple[str, int]
_Place = tuple[int, int, int, int, int]


class Timeline:
    """`entries` are of one listener: those of one record, and those that are about every record of
    its entity, such as wildcards."""

    def __init__(self, entries: Iterable[AuditLogEntry]) -> None:
        found = {entry.pk: entry for entry in entries}
        self._gaps = {_event(one): one.pk for one in found.values() if is_gap(one)}
        self._completed = {_event(one) for one in found.values() if not is_gap(one)}
        streamed = [one for one in found.values() if not _is_compared(one)]
        places = {one.pk: (self._position(one), 0, 0, 0, one.pk) for one in streamed}
        for one in found.values():
            if _is_compared(one):
                places[one.pk] = self._place_among(one, streamed)
        self._ordered = sorted(found.values(), key=lambda one: places[one.pk])
        self._index = {one.pk: index for index, one in enumerate(self._ordered)}

    def index(self, entry_id: int) -> int | None:
        """Where an entry is; None for one that is not there, which is an older one."""
        return self._index.get(entry_id)

    def between(self, first: int, end: int | None) -> Sequence[AuditLogEntry]:
        """What comes after the entry at one index, and before the one at the other, if given."""
        return self._ordered[first + 1 : end]

    def before(self, index: int) -> Sequence[AuditLogEntry]:
        return self._ordered[:index]

    def is_completed(self, gap: AuditLogEntry) -> bool:
        """Whether the data that a gap event lacked was recorded in another entry."""
        return _event(gap) in self._completed

    def is_doubtful(self, read: AuditLogEntry, change: AuditLogEntry) -> bool:
        """Whether the record as read may hold a change that comes after it here: within a second,
        or without a LastModifiedDate, that cannot be told."""
        if change.change_type in DELETIONS or self._holds(read, change):
            return False
        modified = milliseconds(change.changed_data.get("LastModifiedDate"))
        if modified is None:
            return change.commit_timestamp < (read.read_at or 0) + READ_MARGIN
        return modified <= (read.as_of or 0)

    def _position(self, entry: AuditLogEntry) -> int:
        """A gap event's place in the stream is also that of the entry that completes it: an older
        one than all of these, where the gap event is not among them."""
        if entry.source == AuditLogEntry.Source.GAP:
            return self._gaps.get(_event(entry), 0)
        return entry.pk

    def _place_among(self, entry: AuditLogEntry, streamed: Iterable[AuditLogEntry]) -> _Place:
        held = [self._position(one) for one in streamed if self._holds(entry, one)]
        stamp = entry.commit_timestamp if entry.as_of is None else entry.as_of
        return max(held, default=0), 1, stamp, entry.read_at or 0, entry.pk

    def _holds(self, entry: AuditLogEntry, change: AuditLogEntry) -> bool:
        """Whether what was read, or found deleted, is the record as it was after a change."""
        if entry.as_of is None:
            return Deletion.of(entry).holds(change)
        if entry.source == AuditLogEntry.Source.GAP:
            gap = self._gaps.get(_event(entry))
            if gap is not None and self._position(change) <= gap:
                return True
        if change.change_type == "CREATE" or change.commit_timestamp < (entry.read_at or 0):
            return True
        return Reading.of(entry).holds(change)


def is_gap(entry: AuditLogEntry) -> bool:
    """Whether it says that the record changed, and not how."""
    return entry.change_type.startswith("GAP_")


def _event(entry: AuditLogEntry) -> _Event:
    return entry.transaction_key, entry.sequence_number


def _is_compared(entry: AuditLogEntry) -> bool:
    """Whether it was read over REST, and so is not where its id would have it."""
    return entry.as_of is not None or entry.source == AuditLogEntry.Source.RECONCILE
