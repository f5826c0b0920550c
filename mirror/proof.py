"""The proof that a mirror is in sync as of a time: nothing committed until then is missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min

from handlers.models import Delivery
from mirror.apply import gap_scan
from mirror.apply.guard import EPOCH, read_time
from mirror.load import lost_time
from mirror.mappings import deliveries_of
from mirror.models import DirtyRow, Mirror
from mirror.sweeps import uncovered

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


def _pending(mirror: Mirror) -> Iterator[datetime]:
    """Yield times from which changes may be missing: of deliveries, records to be read, gaps, and
    lost time that is not swept yet."""
    for state in (*Delivery.UNENDED, Delivery.State.DEAD):
        oldest = deliveries_of(mirror, state).order_by("id")
        for committed in oldest.values_list("entry__commit_timestamp", flat=True)[:1]:
            yield read_time(committed)
    gaps = gap_scan.without_data(mirror).aggregate(at=Min("commit_timestamp"))
    dirty = DirtyRow.objects.filter(mirror=mirror).aggregate(at=Min("complete_until"))
    yield from (read_time(found["at"]) for found in (gaps, dirty) if found["at"] is not None)
    yield from uncovered(mirror)
    yield from (loss.since for loss in lost_time.unrequested(mirror))
