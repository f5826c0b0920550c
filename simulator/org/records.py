"""The records of the org and its Recycle Bin."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

JsonObject = dict[str, Any]


class UnknownRecordError(LookupError):
    """No live record has this id: it was never made, or it is in the Recycle Bin."""


class NotInRecycleBinError(LookupError):
    """Only a deleted record can be undeleted."""


def iso(at_ms: int) -> str:
    """Whole seconds in UTC, written as change events write them."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


@dataclass(slots=True)
class Record:
    """A record; `fields` has the non-empty ones only, compound fields as objects."""

    entity: str
    record_id: str
    fields: JsonObject
    modified_at: int


@dataclass(slots=True)
class RecordStore:
    """Live and deleted records by entity and id; `moves` grows with every coming and going."""

    live: dict[str, dict[str, Record]] = field(default_factory=dict)
    recycle_bin: dict[str, dict[str, Record]] = field(default_factory=dict)
    moves: int = 0

    def insert(self, record: Record) -> None:
        """Add a new live record."""
        self.moves += 1
        self.live.setdefault(record.entity, {})[record.record_id] = record

    def get(self, entity: str, record_id: str) -> Record:
        """The live record, or UnknownRecordError."""
        try:
            return self.live[entity][record_id]
        except KeyError:
            raise UnknownRecordError(f"no live {entity} has the id {record_id!r}") from None

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
            raise NotInRecycleBinError(
                f"no {entity} in the Recycle Bin has the id {record_id!r}"
            ) from None
        self.insert(record)
        return record

    def empty_recycle_bin(self) -> int:
        """Hard-delete everything in the bin; real orgs send no event for it."""
        count = sum(len(records) for records in self.recycle_bin.values())
        self.recycle_bin.clear()
        self.moves += 1
        return count

    def snapshot(self) -> "RecordStore":
        """A copy, to `restore` from; later changes of the records don't touch it."""
        return RecordStore(_copied(self.live), _copied(self.recycle_bin), self.moves)

    def restore(self, snapshot: "RecordStore") -> None:
        """Undo what happened since the snapshot."""
        self.moves += 1
        self.live, self.recycle_bin = snapshot.live, snapshot.recycle_bin

    def is_deleted(self, entity: str, record_id: str) -> bool:
        """Whether the record is in the Recycle Bin."""
        return record_id in self.recycle_bin.get(entity, {})

    def count(self) -> int:
        """How many records live."""
        return sum(len(records) for records in self.live.values())


def _copied(records: dict[str, dict[str, Record]]) -> dict[str, dict[str, Record]]:
    """Copies of the records; their fields are replaced as a whole, so they may be shared."""
    return {
        entity: {record_id: replace(record) for record_id, record in of_entity.items()}
        for entity, of_entity in records.items()
    }
