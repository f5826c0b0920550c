"""A record, and the live records of an entity."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

JsonObject = dict[str, Any]
EPOCH = date(1970, 1, 1)


def iso(at_ms: int) -> str:
    """Return the time in whole seconds UTC, as in change events."""
    days, second = divmod(at_ms // 1000, 86_400)
    minute, second = divmod(second, 60)
    return f"{_day(days)}T{minute // 60:02d}:{minute % 60:02d}:{second:02d}.000Z"


@lru_cache(maxsize=10_000)
def _day(days: int) -> str:
    return (EPOCH + timedelta(days=days)).isoformat()


@dataclass(slots=True)
class Record:
    """A record; `fields` has only non-empty ones, with compound fields as objects.

    master_id     the record that this one was merged into
    deleted_with  the parent with which this one was deleted
    """

    entity: str
    record_id: str
    fields: JsonObject
    modified_at: int
    master_id: str = ""
    deleted_with: str = ""


class Rows(dict[str, Record]):
    """The live records of an entity by id, in order of creation."""

    def keep(self, record_id: str) -> Record:
        """Return a record that is about to change. Raises KeyError."""
        return self[record_id]

    def ids(self, more: Iterable[str] = ()) -> Sequence[str]:
        """Return the present ids, followed by `more`."""
        return [*self, *more]

    def stored(self) -> Iterable[Record]:
        """Return the records that are not calculated: all of them."""
        return self.values()

    def referring(self, field: str, record_id: str) -> list[Record]:
        """Return the records whose field has this id."""
        return [record for record in self.values() if record.fields.get(field) == record_id]
