"""Reads pages of records in the order of their ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mirror.load.fields import LONGEST_QUERY
from mirror.verify.comparison import Comparison


def read_page(comparison: Comparison, after: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return a page of records with these fields, also if they are too many for a URL."""
    there = comparison.there
    if sum(len(name) + 2 for name in names) < LONGEST_QUERY:
        return there.page(after, names)
    page = there.page(after)
    if not page:
        return []
    read = there.read([record["Id"] for record in page])
    # A record that was deleted in between is confirmed like any other that seems to differ.
    return [read.records.get(record["Id"], record) for record in page]


class Ahead:
    """An iterator of ids that is consumed up to an id."""

    def __init__(self, ids: Iterator[str]) -> None:
        self._ids = ids
        self._next = next(ids, None)

    def until(self, last: str | None) -> Iterator[str]:
        """Yield the ids up to and with `last`; None: all."""
        while self._next is not None and (last is None or self._next <= last):
            yield self._next
            self._next = next(self._ids, None)
