"""Reads pages of records in the order of their ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mirror.load.fields import LONGEST_QUERY
from mirror.verify.comparison import Comparison


def read_pages(
    comparison: Comparison, after: str, names: Sequence[str]
) -> Iterator[tuple[list[dict[str, Any]], str | None]]:
    """Yield pages of records with these fields, also if they are too many for a URL; each with its
    last id, None for the last page."""
    there = comparison.there
    is_wide = sum(len(name) + 2 for name in names) > LONGEST_QUERY
    pages = there.pages(after, () if is_wide else names)
    page: list[dict[str, Any]] | None = next(pages, [])
    while page is not None:
        following = next(pages, None)
        last = page[-1]["Id"] if following else None
        yield (_whole(comparison, page) if is_wide else page), last
        page = following


def _whole(comparison: Comparison, page: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records of a page with all fields."""
    read = comparison.there.read([record["Id"] for record in page])
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
