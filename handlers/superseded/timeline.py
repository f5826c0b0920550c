"""The recorded changes of one record in the order of their commits, and the state after them. Pure.

Changes of the stream keep the order of their entries, except for those from quarantine, which were
recorded after later ones. A record that was read over REST includes all changes committed before
the read, whenever they were recorded, so its entry comes after the last change that it includes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from audit.models import AuditLogEntry
from handlers.ordering.read_records import Deletion, Reading
from handlers.rules.field_paths import ABSENT, value_at
from handlers.superseded.fields import UNKNOWN, Others, Part, differing
from listeners.salesforce.rest.records import milliseconds

#: Milliseconds by which a record may have been read after `read_at`.
READ_MARGIN = 60_000
DELETIONS = frozenset({"DELETE", "GAP_DELETE"})
#: Change types whose body has every field with a value.
WHOLE = frozenset({"CREATE", "UNDELETE"})
_GAPS_OF_ONE_RECORD = frozenset({"GAP_CREATE", "GAP_UPDATE", "GAP_UNDELETE"})

_Event = tuple[str, int]
_Place = tuple[int, int, int, int, int]


class Timeline:
    """The ordered entries of one record, and of wildcards about all records of its entity.

    All `entries` belong to one listener.
    """

    def __init__(self, entries: Iterable[AuditLogEntry]) -> None:
        found = {entry.pk: entry for entry in entries}
        self._gaps = {_event(entry): entry.pk for entry in found.values() if is_gap(entry)}
        self._completed = {_event(entry) for entry in found.values() if not is_gap(entry)}
        self._late = _late_places(found.values())
        streamed = [entry for entry in found.values() if not _is_compared(entry)]
        places = {entry.pk: self._place(entry) for entry in streamed}
        for entry in found.values():
            if _is_compared(entry):
                places[entry.pk] = self._place_among(entry, streamed)
        self._ordered = sorted(found.values(), key=lambda entry: places[entry.pk])
        self._index = {entry.pk: index for index, entry in enumerate(self._ordered)}

    def index(self, entry_id: int) -> int | None:
        """Return the index of an entry; None when it is missing, because it is older."""
        return self._index.get(entry_id)

    def between(self, first: int, end: int | None) -> Sequence[AuditLogEntry]:
        """Return the entries after the index `first` and before the index `end`."""
        return self._ordered[first + 1 : end]

    def before(self, index: int) -> Sequence[AuditLogEntry]:
        return self._ordered[:index]

    def is_completed(self, gap: AuditLogEntry) -> bool:
        """Return whether another entry has the data that a gap event lacked."""
        return _event(gap) in self._completed

    def is_doubtful(self, read: AuditLogEntry, change: AuditLogEntry) -> bool:
        """Return whether the record as read may include a change that comes after it here.

        That is unknown within one second, and for a change without LastModifiedDate.
        """
        if change.change_type in DELETIONS or self._holds(read, change):
            return False
        modified = milliseconds(change.changed_data.get("LastModifiedDate"))
        if modified is None:
            return change.commit_timestamp < (read.read_at or 0) + READ_MARGIN
        return modified <= (read.as_of or 0)

    def _position(self, entry: AuditLogEntry) -> int:
        """Return an entry's position in the stream; an entry that completes a gap has the position
        of its gap event, or 0 when that event is older than this timeline."""
        if entry.source == AuditLogEntry.Source.GAP:
            return self._gaps.get(_event(entry), 0)
        return self._late.get(entry.pk, entry.pk)

    def _place(self, entry: AuditLogEntry) -> _Place:
        """Return the place of a change of the stream. Late ones after the same change are in the
        order of their commits: they may be read in any order."""
        if entry.pk not in self._late:
            return self._position(entry), 0, 0, 0, entry.pk
        return self._late[entry.pk], 0, entry.commit_timestamp, entry.sequence_number, entry.pk

    def _place_among(self, entry: AuditLogEntry, streamed: Iterable[AuditLogEntry]) -> _Place:
        held = [self._position(change) for change in streamed if self._holds(entry, change)]
        stamp = entry.commit_timestamp if entry.as_of is None else entry.as_of
        return max(held, default=0), 1, stamp, entry.read_at or 0, entry.pk

    def _holds(self, entry: AuditLogEntry, change: AuditLogEntry) -> bool:
        """Return whether a record as read, or found deleted, includes a change."""
        if entry.as_of is None:
            return Deletion.of(entry).holds(change)
        if entry.source == AuditLogEntry.Source.GAP:
            gap = self._gaps.get(_event(entry))
            if gap is not None and self._position(change) <= gap:
                return True
        if change.change_type == "CREATE" or change.commit_timestamp < (entry.read_at or 0):
            return True
        return Reading.of(entry).holds(change)


def _late_places(entries: Iterable[AuditLogEntry]) -> dict[int, int]:
    """Return the positions of streamed changes that were recorded after later ones: that of the
    last change before them, or 0 when that is older than this timeline."""
    places: dict[int, int] = {}
    in_order: list[AuditLogEntry] = []
    for entry in sorted(entries, key=lambda entry: entry.pk):
        if entry.source != AuditLogEntry.Source.STREAM:
            continue
        if in_order and _is_overtaken(entry, in_order[-1]):
            earlier = (one.pk for one in reversed(in_order) if not _is_overtaken(entry, one))
            places[entry.pk] = next(earlier, 0)
        else:
            in_order.append(entry)
    return places


def _is_overtaken(entry: AuditLogEntry, other: AuditLogEntry) -> bool:
    """Return whether a change that was recorded before an entry was received with it or later, and
    committed later."""
    if entry.received_at is None or entry.received_at > other.received_at:
        return False
    if entry.transaction_key == other.transaction_key:
        return entry.sequence_number < other.sequence_number
    if entry.commit_number is None or other.commit_number is None:
        return entry.commit_timestamp < other.commit_timestamp
    is_numbered_before = entry.commit_number < other.commit_number
    return is_numbered_before and entry.commit_timestamp <= other.commit_timestamp


def is_gap(entry: AuditLogEntry) -> bool:
    """Return whether an entry says that the record changed, without its values."""
    return entry.change_type.startswith("GAP_")


def _event(entry: AuditLogEntry) -> _Event:
    return entry.transaction_key, entry.sequence_number


def _is_compared(entry: AuditLogEntry) -> bool:
    """Return whether an entry was read over REST, so that its id does not give its place."""
    return entry.as_of is not None or entry.source == AuditLogEntry.Source.RECONCILE


@dataclass(slots=True)
class Later:
    """The state of a record after later changes.

    `turned_by` is the last change that deleted or restored the record, if any.
    """

    exists: bool
    turned_by: AuditLogEntry | None = None
    fields: Part = field(default_factory=Part)
    _read: AuditLogEntry | None = None

    @classmethod
    def than(cls, entry: AuditLogEntry, timeline: Timeline, end: int | None) -> Later:
        """Return the state after an entry, and before the entry at the index `end`."""
        index = timeline.index(entry.pk)
        later = cls(exists=entry.change_type not in DELETIONS)
        if index is None:
            raise ValueError(f"entry {entry.pk} is missing from the timeline of its record")
        if entry.as_of is not None:
            later._read = entry
        else:
            later._doubt(entry, timeline.before(index), timeline)
        for change in timeline.between(index, end):
            later._apply(change, timeline)
        return later

    def _doubt(
        self, entry: AuditLogEntry, before: Sequence[AuditLogEntry], timeline: Timeline
    ) -> None:
        """Mark the fields that differ in a record read in the same second: it may be newer."""
        for read in before:
            if read.as_of is not None and timeline.is_doubtful(read, entry):
                self.fields.update(differing(entry.changed_data, read.changed_data))

    def _apply(self, change: AuditLogEntry, timeline: Timeline) -> None:
        if change.record_id.endswith("*"):  # something about every record of the entity
            self.fields = Part(others=Others.UNKNOWN)
        elif is_gap(change) and timeline.is_completed(change):
            return
        elif change.change_type in DELETIONS:
            self._turn(change, exists=False)
        elif change.as_of is not None or change.change_type in WHOLE:
            self._turn(change, exists=True)
            self.fields = Part.whole(change.changed_data)
            self._read = change if change.as_of is not None else None
        elif change.change_type == "UPDATE":
            self._require_existence(change)
            self._update(change, timeline)
        else:
            if change.change_type in _GAPS_OF_ONE_RECORD:
                self._require_existence(change)
            self.fields = Part(others=Others.UNKNOWN)

    def _turn(self, change: AuditLogEntry, *, exists: bool) -> None:
        if self.exists != exists or not exists:
            self.turned_by = change
        self.exists = exists

    def _require_existence(self, change: AuditLogEntry) -> None:
        """Treat the fields of a deleted record as unknown: its restoration was not recorded."""
        if not self.exists:
            self._turn(change, exists=True)
            self.fields = Part(others=Others.UNKNOWN)

    def _update(self, change: AuditLogEntry, timeline: Timeline) -> None:
        body = change.changed_data
        if self._read is not None and timeline.is_doubtful(self._read, change):
            body = differing(body, self._read.changed_data)
        self.fields.update(body)
        nulled = change.nulled_fields or ()
        for path in (*(change.changed_fields or ()), *nulled):
            if value_at(change.changed_data, path) is ABSENT:
                self.fields.put(path, None if path in nulled else UNKNOWN)
