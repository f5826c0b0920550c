"""The proof that a mirror is in sync as of a time: nothing committed until then is missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Min, Subquery

from handlers.models import Delivery
from mirror.apply import gap_scan
from mirror.apply.guard import EPOCH, read_time
from mirror.load import lost_time
from mirror.mappings import deliveries_of
from mirror.models import DirtyRow, Mirror
from mirror.sweeps import uncovered, unended

#: The log of a listener that caught up may lack changes that were committed this shortly before.
_MARGIN = timedelta(seconds=2)
_MILLISECOND = timedelta(milliseconds=1)


def in_sync_as_of(mirror: Mirror, position: Any) -> datetime | None:
    """Return the time up to which the rows are proven to have every change.

    `position` was read before the changes that are still to be applied, so that a change recorded
    in between is later than the time that the position proves.
    """
    known = [mirror.in_sync_since] if mirror.in_sync_since else []
    if position is not None and position.caught_up_at is not None:
        known.append(position.caught_up_at - _MARGIN)
    if position is not None and position.last_event_at is not None:
        known.append(position.last_event_at)
    if not known:
        return None
    found = min([max(known), *(moment - _MILLISECOND for moment in _pending(mirror))])
    return found if found > EPOCH else None


def is_repairing(mirror: Mirror) -> bool:
    """Return whether changes were lost, and the rows are not proven to have them yet."""
    return bool(lost_time.unrequested(mirror)) or next(uncovered(mirror), None) is not None


def _pending(mirror: Mirror) -> Iterator[datetime]:
    """Yield times from which changes may be missing: of deliveries, gaps, lost time that is not
    swept yet, and records to be read.

    Whatever ends one of them begins a later one before: records are marked before the delivery, the
    gap or the sweep ends. In this order, none is overlooked in between.
    """
    yield from map(read_time, _undelivered(mirror))
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
    for entries in (gap_scan.without_data(mirror), gap_scan.possible_merges(mirror)):
        first = entries.aggregate(at=Min("commit_timestamp"))["at"]
        if first is not None:
            yield read_time(first)
    yield from (loss.since for loss in lost_time.unrequested(mirror))


def _undelivered(mirror: Mirror) -> Iterator[int]:
    """Yield the commit times of the oldest deliveries in each state that has not ended well.

    In one statement: between two, a delivery that is retried could go from a state that is still to
    be asked for to one that was.
    """
    # Not by the id itself: PostgreSQL would search all ended deliveries by the primary key.
    by_id = F("id") + 0
    oldest = (
        Subquery(deliveries_of(mirror, state).order_by(by_id).values("entry__commit_timestamp")[:1])
        for state in (*Delivery.UNENDED, Delivery.State.DEAD)
    )
    for found in Mirror.objects.filter(pk=mirror.pk).values_list(*oldest):
        yield from (committed for committed in found if committed is not None)
