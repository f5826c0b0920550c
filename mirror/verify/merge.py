"""The ids that only one of two sorted streams has. Pure, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OneSided:
    """An id that is only here, or only in Salesforce."""

    record_id: str
    is_here: bool


def one_sided(here: Iterable[str], there: Iterable[str]) -> Iterator[OneSided]:
    """Yield the ids that are in one stream only. Both are in ascending order of their bytes.

    Raises ValueError if a stream is not: the result would name records that are on both sides.
    """
    ours, theirs = _ascending(here), _ascending(there)
    left, right = next(ours, None), next(theirs, None)
    while left is not None or right is not None:
        if left == right:
            left, right = next(ours, None), next(theirs, None)
        elif left is not None and (right is None or left < right):
            yield OneSided(left, is_here=True)
            left = next(ours, None)
        elif right is not None:
            yield OneSided(right, is_here=False)
            right = next(theirs, None)


def _ascending(ids: Iterable[str]) -> Iterator[str]:
    last = ""
    for record_id in ids:
        if record_id < last:
            raise ValueError(f"{record_id} comes after {last}: the ids are not in order")
        if record_id != last:  # the query that continues after a page may repeat its last id
            yield record_id
        last = record_id
