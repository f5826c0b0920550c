"""Reads the next item of an iterator in a thread, while the database works on the one before."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, wait
from types import TracebackType
from typing import Generic, TypeVar

from listeners.threads import call_in_thread

Item = TypeVar("Item")


class ReadAhead(Generic[Item]):
    """An iterator over items that are read one ahead, from a call of `begin` on.

    A caller that uses the CPU should not call `begin` before it waits for something else: two
    threads that both use it are slower than one.
    """

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._next: Future[tuple[Item, ...]] | None = None

    def begin(self) -> None:
        """Begin to read the next item, unless that has begun."""
        self._reading()

    def _reading(self) -> Future[tuple[Item, ...]]:
        if self._next is None:
            self._next = call_in_thread("read-ahead", self._read)
        return self._next

    def _read(self) -> tuple[Item, ...]:
        for item in self._items:
            return (item,)
        return ()

    def __enter__(self) -> ReadAhead[Item]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for the thread, which may read from what the caller closes next."""
        if self._next is not None:
            wait([self._next])

    def __iter__(self) -> Iterator[Item]:
        """Yield the items. An error of reading one is raised in its place."""
        while True:
            found = self._reading().result()
            self._next = None
            if not found:
                return
            yield found[0]
