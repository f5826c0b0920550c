"""Live records that are calculated when they are read, and stored only when they change."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from itertools import chain
from typing import overload

from simulator.org.records import Record
from simulator.org.seed import Seed


class SeededRows(MutableMapping[str, Record]):
    """Records by id: calculated ones in order of creation, then the others.

    `written` has the calculated ones that were read for a change, by index, and `gone` the indexes
    of those that were deleted.
    """

    def __init__(self, seed: Seed, others: dict[str, Record]) -> None:
        self.seed = seed
        self.written: dict[int, Record] = {}
        self.gone: set[int] = set()
        self.others = others

    def __getitem__(self, record_id: str) -> Record:
        if record_id in self.others:
            return self.others[record_id]
        index = self._index(record_id)
        return self.written.get(index) or self.seed.record(index)

    def _index(self, record_id: str) -> int:
        """Return the index of a live calculated record. Raises KeyError."""
        index = self.seed.index(record_id)
        if index is None or index in self.gone:
            raise KeyError(record_id)
        return index

    def __contains__(self, record_id: object) -> bool:
        index = self.seed.index(str(record_id))
        return record_id in self.others or (index is not None and index not in self.gone)

    def keep(self, record_id: str) -> Record:
        """Return the record, stored from now on because it is about to change. Raises KeyError."""
        if record_id in self.others:
            return self.others[record_id]
        index = self._index(record_id)
        return self.written.setdefault(index, self[record_id])

    def __setitem__(self, record_id: str, record: Record) -> None:
        if (index := self.seed.index(record_id)) is None:
            self.others[record_id] = record
        else:
            self.written[index] = record
            self.gone.discard(index)

    def __delitem__(self, record_id: str) -> None:
        if record_id in self.others:
            del self.others[record_id]
        else:
            index = self._index(record_id)
            self.gone.add(index)
            self.written.pop(index, None)

    def __len__(self) -> int:
        return self.seed.count - len(self.gone) + len(self.others)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids())

    def __reversed__(self) -> Iterator[str]:
        return reversed(self.ids())

    def ids(self, more: Iterable[str] = ()) -> "SeededIds":
        """Return the present ids, followed by `more`."""
        return SeededIds(self.seed, sorted(self.gone), [*self.others, *more])

    def stored(self) -> Iterable[Record]:
        """Return the records that are not calculated."""
        return chain(self.written.values(), self.others.values())

    def referring(self, field: str, record_id: str) -> list[Record]:
        """Return the records whose field has this id."""
        stored = [record for record in self.stored() if record.fields.get(field) == record_id]
        return [*stored, *self.calculated(self.seed.children(field, record_id))]

    def is_unchanged(self, index: int) -> bool:
        """Return whether the record with this index is live and not stored."""
        return index not in self.written and index not in self.gone

    def calculated(self, indexes: Iterable[int]) -> Iterator[Record]:
        """Yield the unchanged records with these indexes."""
        for index in indexes:
            if self.is_unchanged(index):
                yield self.seed.record(index)


class SeededIds(Sequence[str]):
    """The ids of calculated records without those that are gone, followed by others."""

    def __init__(self, seed: Seed, gone: list[int], others: list[str]) -> None:
        self._seed = seed
        #: For each missing index, the number of records before it.
        self._before_gone = [index - number for number, index in enumerate(gone)]
        self._others = others
        self._calculated = seed.count - len(gone)

    def __len__(self) -> int:
        return self._calculated + len(self._others)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            places = range(len(self))[place]
            return self if len(places) == len(self) else [self[number] for number in places]
        number = range(len(self))[place]
        if number >= self._calculated:
            return self._others[number - self._calculated]
        return self._seed.record_id(self._index_at(number))

    def place_of(self, index: int) -> int:
        """Return the place of the first calculated record with this index or a greater one."""
        places = range(self._calculated)
        return bisect_left(places, index, key=self._index_at)

    def _index_at(self, place: int) -> int:
        return place + bisect_right(self._before_gone, place)
