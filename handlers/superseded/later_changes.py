"""Fold the changes after an entry into the state of its record: existence and fields. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from audit.models import AuditLogEntry
from handlers.routing.field_paths import ABSENT, value_at
from handlers.superseded.fields import UNKNOWN, Others, Part, differing
from handlers.superseded.timeline import DELETIONS, Timeline, is_gap

#: Change types whose body has every field with a value.
WHOLE = frozenset({"CREATE", "UNDELETE"})
_GAPS_OF_ONE_RECORD = frozenset({"GAP_CREATE", "GAP_UPDATE", "GAP_UNDELETE"})


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
