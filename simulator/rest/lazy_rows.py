"""The rows of a large result, which are read when a page of them is asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

from simulator.org.record_store import Snapshot
from simulator.org.records import JsonObject, Record

Shown = Callable[[Record, bool], JsonObject]


@dataclass(frozen=True, slots=True)
class LazyRows(Sequence[JsonObject]):
    """The records of a snapshot with these ids; `shown` returns the row of a record."""

    snapshot: Snapshot
    ids: Sequence[str]
    shown: Shown

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> JsonObject: ...
    @overload
    def __getitem__(self, place: slice) -> list[JsonObject]: ...
    def __getitem__(self, place: int | slice) -> JsonObject | list[JsonObject]:
        if isinstance(place, slice):
            return [self[number] for number in range(len(self))[place]]
        record, is_deleted = self.snapshot.get(self.ids[place])
        return self.shown(record, is_deleted)
