"""The records of the org and its Recycle Bin, and snapshots of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from weakref import WeakSet

from simulator.org.records import Record, Rows
from simulator.org.seeded_rows import SeededRows

Records = Mapping[str, Record]
Stored = tuple[Record, bool]
LiveRows = Rows | SeededRows


@dataclass(slots=True, weakref_slot=True, eq=False)
class Snapshot:
    """Some records at one moment: their ids, and the former versions of those written since.

    The record store calls `keep` before it changes a record, so that a snapshot of many records
    costs little memory.
    """

    live: Records
    deleted: Records
    ids: Sequence[str]
    #: The number of changes of the whole store before this moment.
    version: int = 0
    _before: dict[str, Stored] = field(default_factory=dict)

    def get(self, record_id: str) -> Stored:
        """Return a record, and whether it is in the Recycle Bin. Raises LookupError."""
        return self._before.get(record_id) or self._current(record_id)

    def keep(self, record_id: str) -> None:
        """Keep the present version of a record that is about to change."""
        if record_id in self._before:
            return
        try:
            record, is_deleted = self._current(record_id)
        except LookupError:
            return
        self._before[record_id] = replace(record), is_deleted

    def _current(self, record_id: str) -> Stored:
        if record := self.live.get(record_id):
            return record, False
        return self.deleted[record_id], True


@dataclass(slots=True)
class RecordStore:
    """Live and deleted records by entity and id; `moves` grows when either set changes.

    Call `keep` before a record changes in any way: it keeps its version for the snapshots.
    """

    live: dict[str, LiveRows] = field(default_factory=dict)
    recycle_bin: dict[str, dict[str, Record]] = field(default_factory=dict)
    moves: int = 0
    #: When the last record was deleted that is no longer in the Recycle Bin, by entity.
    purged: dict[str, int] = field(default_factory=dict)
    #: The names of the fields that were ever written, by entity.
    names: dict[str, set[str]] = field(default_factory=dict)
    changes: int = 0
    _snapshots: dict[str, WeakSet[Snapshot]] = field(default_factory=dict)

    def rows(self, entity: str) -> LiveRows:
        """Return the live records of an entity."""
        return self.live.get(entity, Rows())

    def snapshot(self, entity: str, *, deleted: bool) -> Snapshot:
        """Return the records as they are now; with `deleted`, those in the Recycle Bin too."""
        live, binned = self.live.setdefault(entity, Rows()), self.recycle_bin.setdefault(entity, {})
        snapshot = Snapshot(live, binned, live.ids(binned if deleted else ()), self.changes)
        self._snapshots.setdefault(entity, WeakSet()).add(snapshot)
        return snapshot

    def keep(self, entity: str, record_id: str) -> None:
        """Keep the present version of a record, which is about to change, for the snapshots."""
        self.changes += 1
        for snapshot in self._snapshots.get(entity, ()):
            snapshot.keep(record_id)

    def insert(self, record: Record) -> None:
        """Add a live record. Raises LookupError if its id is taken."""
        entity, record_id = record.entity, record.record_id
        if record_id in self.live.get(entity, {}) or self.is_deleted(entity, record_id):
            raise LookupError(f"the id {record_id!r} is taken")
        self.moves += 1
        self.changes += 1
        self.live.setdefault(entity, Rows())[record_id] = record

    def remove(self, record: Record) -> None:
        """Undo an insert."""
        self.keep(record.entity, record.record_id)
        self.moves += 1
        del self.live[record.entity][record.record_id]

    def get(self, entity: str, record_id: str) -> Record:
        """Return the live record, to be changed. Raises LookupError."""
        try:
            return self.live[entity].keep(record_id)
        except KeyError:
            raise LookupError(f"no live {entity} has the id {record_id!r}") from None

    def delete(self, entity: str, record_id: str) -> Record:
        """Move a live record to the Recycle Bin."""
        record = self.get(entity, record_id)
        self.keep(entity, record_id)
        self.moves += 1
        del self.live[entity][record_id]
        self.recycle_bin.setdefault(entity, {})[record_id] = record
        return record

    def undelete(self, entity: str, record_id: str) -> Record:
        """Move a record back from the Recycle Bin."""
        self.keep(entity, record_id)
        try:
            record = self.recycle_bin[entity].pop(record_id)
        except KeyError:
            raise LookupError(f"no {entity} in the Recycle Bin has the id {record_id!r}") from None
        self.insert(record)
        return record

    def erase(self, entity: str, record_id: str) -> tuple[Record, Callable[[], object]]:
        """Remove a live or deleted record permanently; return it, and what undoes this."""
        for of_entity in (self.rows(entity), self.recycle_bin.setdefault(entity, {})):
            if record_id in of_entity:
                self.keep(entity, record_id)
                self.moves += 1
                record = of_entity.pop(record_id)
                return record, partial(of_entity.__setitem__, record_id, record)
        raise LookupError(f"no {entity} has the id {record_id!r}")

    def deleted_with(self, parent_id: str) -> list[Record]:
        """Return the deleted records that were deleted with this parent."""
        return [
            record
            for of_entity in self.recycle_bin.values()
            for record in of_entity.values()
            if record.deleted_with == parent_id
        ]

    def empty_recycle_bin(self) -> int:
        """Delete the records in the bin permanently; real orgs send no event for it."""
        count = sum(len(records) for records in self.recycle_bin.values())
        for entity, records in self.recycle_bin.items():
            for record_id, record in records.items():
                self.keep(entity, record_id)
                self.purged[entity] = max(record.modified_at, self.purged.get(entity, 0))
            records.clear()
        self.moves += 1
        return count

    def fill(self, entity: str, name: str, *, value: object) -> None:
        """Give every record that has no value in a field this one; its times do not change."""
        rows = self.rows(entity)
        if isinstance(rows, SeededRows):
            rows.seed.defaults[name] = value
        for record in (*rows.stored(), *self.recycle_bin.get(entity, {}).values()):
            if name not in record.fields:
                self.keep(entity, record.record_id)
                record.fields = {**record.fields, name: value}

    def is_deleted(self, entity: str, record_id: str) -> bool:
        """Return whether the record is in the Recycle Bin."""
        return record_id in self.recycle_bin.get(entity, {})

    def count(self) -> int:
        return sum(len(records) for records in self.live.values())
