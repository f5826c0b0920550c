"""The records of the org and its Recycle Bin."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

JsonObject = dict[str, Any]


def iso(at_ms: int) -> str:
    """Return the time in whole seconds UTC, as in change events."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


@dataclass(slots=True)
class Record:
    """A record; `fields` has only non-empty ones, with compound fields as objects."""

    entity: str
    record_id: str
    fields: JsonObject
    modified_at: int


@dataclass(slots=True)
class RecordStore:
    """Live and deleted records by entity and id; `moves` grows when either set changes."""

    live: dict[str, dict[str, Record]] = field(default_factory=dict)
    recycle_bin: dict[str, dict[str, Record]] = field(default_factory=dict)
    moves: int = 0

    def insert(self, record: Record) -> None:
        """Add a live record. Raises LookupError if its id is taken."""
        entity, record_id = record.entity, record.record_id
        if record_id in self.live.get(entity, {}) or self.is_deleted(entity, record_id):
            raise LookupError(f"the id {record_id!r} is taken")
        self.moves += 1
        self.live.setdefault(entity, {})[record_id] = record

    def remove(self, record: Record) -> None:
        """Undo an insert."""
        self.moves += 1
        del self.live[record.entity][record.record_id]

    def get(self, entity: str, record_id: str) -> Record:
        """Return the live record. Raises LookupError."""
        try:
            return self.live[entity][record_id]
        except KeyError:
            raise LookupError(f"no live {entity} has the id {record_id!r}") from None

    def delete(self, entity: str, record_id: str) -> Record:
        """Move a live record to the Recycle Bin."""
        record = self.get(entity, record_id)
        self.moves += 1
        del self.live[entity][record_id]
        self.recycle_bin.setdefault(entity, {})[record_id] = record
        return record

    def undelete(self, entity: str, record_id: str) -> Record:
        """Move a record back from the Recycle Bin."""
        try:
            record = self.recycle_bin[entity].pop(record_id)
        except KeyError:
            raise LookupError(f"no {entity} in the Recycle Bin has the id {record_id!r}") from None
        self.insert(record)
        return record

    def empty_recycle_bin(self) -> int:
        """Delete the records in the bin permanently; real orgs send no event for it."""
        count = sum(len(records) for records in self.recycle_bin.values())
        self.recycle_bin.clear()
        self.moves += 1
        return count

    def is_deleted(self, entity: str, record_id: str) -> bool:
        """Return whether the record is in the Recycle Bin."""
        return record_id in self.recycle_bin.get(entity, {})

    def count(self) -> int:
        return sum(len(records) for records in self.live.values())
