"""The proof that a mirror is in sync as of a time: nothing committed until then is missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Min, Q

from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from handlers.routing.router import ON
from mirror.models import DirtyRow, Mirror, MirrorRun
from mirror.sweeps import SINCE

#: The log of a listener that caught up may lack changes that were committed this shortly before.
_MARGIN = timedelta(seconds=2)
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    pending = [moment - _MILLISECOND for moment in _pending(mirror)]
    return min([max(known), *pending]) if known else None


def _pending(mirror: Mirror) -> Iterator[datetime]:
    """Yield times from which changes may be missing: of deliveries, gaps, lost time that is swept,
    and records to be read."""
    for state in (*Delivery.UNENDED, Delivery.State.DEAD):
        oldest = deliveries_of(mirror, state).order_by("id")
        for committed in oldest.values_list("entry__commit_timestamp", flat=True)[:1]:
            yield _time(committed)
    unscanned = AuditLogEntry.objects.filter(
        ~Q(change_type__in=ON), pk__gt=mirror.scanned_entry_id, listener=mirror.listener_id
    )
    if (gap := unscanned.aggregate(at=Min("commit_timestamp"))["at"]) is not None:
        yield _time(gap)
    sweeps = mirror.runs.filter(kind=MirrorRun.Kind.SWEEP, state__in=MirrorRun.UNENDED)
    for since in sweeps.values_list(f"options__{SINCE}", flat=True):
        if since:
            yield datetime.fromisoformat(since)
    dirty = DirtyRow.objects.filter(mirror=mirror).aggregate(at=Min("complete_until"))["at"]
    if dirty is not None:
        yield _time(dirty)


def deliveries_of(mirror: Mirror, state: str) -> Any:
    """Return the deliveries of the mirror's mappings in a state, which has a partial index."""
    mappings = HandlerMapping.objects.filter(
        listener=mirror.listener_id, managed=True, entity=mirror.salesforce_object
    )
    ids = list(mappings.values_list("pk", flat=True))
    return Delivery.objects.filter(state=state, mapping__in=ids)


def _time(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)
