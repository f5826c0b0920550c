"""The proof that a mirror is in sync as of a time: nothing committed until then is missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min

from listeners.models import Position
from mirror.apply import arrived, gap_scan, merges
from mirror.apply.guard import EPOCH, read_time
from mirror.load import lost_time
from mirror.models import DirtyRow, Mirror
from mirror.sweeps import uncovered, unended

_MILLISECOND = timedelta(milliseconds=1)


def in_sync_as_of(mirror: Mirror, position: Any) -> datetime | None:
    """Return the time up to which the rows are proven to have every change.

    `position` was read before the changes that are still to be applied, so that a change recorded
    in between is later than the time that the position proves.
    """
    # The deletions of merged parents may come from other listeners.
    others = Position.objects.in_bulk(merges.other_listeners(mirror))
    positions = [position, *map(others.get, merges.other_listeners(mirror))]
    known = [
        max(filter(None, (mirror.in_sync_since, arrived.received_until(one))), default=None)
        for one in positions
    ]
    complete = [moment for moment in known if moment is not None]
    if len(complete) < len(known):
        return None
    found = min([*complete, *(moment - _MILLISECOND for moment in _pending(mirror))])
    return found if found > EPOCH else None


def is_repairing(mirror: Mirror) -> bool:
    """Return whether changes were lost, and the rows are not proven to have them yet."""
    return bool(lost_time.unrequested(mirror)) or next(uncovered(mirror), None) is not None


def _pending(mirror: Mirror) -> Iterator[datetime]:
    """Yield times from which changes may be missing: of deliveries, gaps, lost time that is not
    swept yet, and records to be read.

    A time is replaced by a later one before it ends: records are marked before the delivery, the
    gap or the sweep ends. In this order, none is overlooked in between.
    """
    yield from map(read_time, arrived.unapplied(mirror))
    yield from _unrequested(mirror)
    yield from uncovered(mirror)
    dirty = DirtyRow.objects.filter(mirror=mirror).aggregate(at=Min("complete_until"))["at"]
    if dirty is not None:
        yield read_time(dirty)


def unread_from(mirror: Mirror) -> Iterator[datetime]:
    """Yield the times from which records may have changes that no delivery brings, but a read that
    is to come: of gaps and merges that were not searched for, and of lost time until its sweep has
    ended."""
    yield from _unrequested(mirror)
    yield from unended(mirror)


def _unrequested(mirror: Mirror) -> Iterator[datetime]:
    """Yield the times of gaps, merges and lost time for which nothing was requested yet."""
    for entries in (gap_scan.without_data(mirror), merges.possible(mirror)):
        first = entries.aggregate(at=Min("commit_timestamp"))["at"]
        if first is not None:
            yield read_time(first)
    yield from (loss.since for loss in lost_time.unrequested(mirror))
