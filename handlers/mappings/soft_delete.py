"""What becomes of handler mappings that were deleted.

Their rows stay, hidden, for the deliveries that name them: these are history, and may be millions.
What waits for one is skipped; the row goes when no delivery names it any more.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from handlers.models import Delivery, HandlerMapping
from handlers.sdk.outcomes import MAPPING_DELETED
from listeners import crash_points
from listeners.models import Position

log = structlog.get_logger(__name__)

State = Delivery.State
#: So many are skipped in one transaction, and of each state and mapping at a time.
STEP = 1000
STEPS = 5
#: What waits, in the order of an index of that state: those that have ended are not read.
_WAITING = {
    State.BLOCKED: ("-id",),
    State.READY: ("paused", "id"),
    State.QUEUED: ("queued_at",),
    State.RETRYING: ("-id",),
}
_OPEN = {**_WAITING, State.RUNNING: ("claim_deadline",)}


def skip_waiting(now: datetime) -> int:
    """Skip what waits for mappings that were deleted; how many. Not by a worker: there may be none
    that hears its queue or knows its handler.

    The next of each chain is then stranded, which the relay looks for. What is left for the next
    time, or after a crash, is found again. Never inside a transaction.
    """
    skipped = 0
    for mapping in HandlerMapping.with_deleted.deleted().filter(emptied_at=None):
        skipped += sum(_skip(mapping.pk, state, now) for state in _WAITING)
        if _is_added_to(mapping) or _is_open(mapping):
            continue  # what runs may be to be tried again
        HandlerMapping.with_deleted.filter(pk=mapping.pk).update(emptied_at=now)
    if skipped:
        log.info("skipped what waited for deleted mappings", deliveries=skipped)
    return skipped


def _is_added_to(mapping: HandlerMapping) -> bool:
    """Whoever read it before it was deleted, and adds deliveries to it, holds the position: if
    nobody does now, nobody will. Nor is anybody waited for, who may be paused inside of that."""
    position = Position.objects.filter(listener=mapping.listener_id)
    with transaction.atomic(durable=True):
        return not position.locked(skip_locked=True) and position.exists()


def _is_open(mapping: HandlerMapping) -> bool:
    """In one statement: what goes from one state to another meanwhile is seen in one of them."""
    each = (Subquery(_open(mapping.pk, state).values("pk")[:1]) for state in _OPEN)
    mine = HandlerMapping.with_deleted.filter(pk=mapping.pk)
    return mine.values_list(Coalesce(*each), flat=True).first() is not None


def _skip(mapping_id: int, state: State, now: datetime) -> int:
    skipped = 0
    for _ in range(STEPS):
        with transaction.atomic(durable=True):
            free = _open(mapping_id, state).select_for_update(skip_locked=True)
            ids = list(free.values_list("pk", flat=True)[:STEP])
            if not ids:
                break
            skipped += Delivery.objects.filter(pk__in=ids).update(
                state=State.SKIPPED,
                error=MAPPING_DELETED,
                finished_at=now,
                due_at=None,
                paused=False,
            )
            crash_points.reach("skipped")
    return skipped


def _open(mapping_id: int, state: State) -> QuerySet[Delivery]:
    """Without what is sent to a task elsewhere, as ever, and what is skipped once its record is
    read."""
    mine = Delivery.objects.filter(mapping=mapping_id, is_external=False, awaits_record=False)
    return mine.filter(state=state).order_by(*_OPEN[state])


def forget() -> int:
    """Delete the rows that no delivery names any more; how many. Inside any transaction."""
    # A range of one, in the order of the index by mapping: for an equality PostgreSQL may read all
    # deliveries until it meets the first.
    mine = Delivery.objects.filter(mapping__gte=OuterRef("pk"), mapping__lte=OuterRef("pk"))
    first = Subquery(mine.order_by("mapping_id").values("pk")[:1])
    emptied = HandlerMapping.with_deleted.deleted().filter(emptied_at__isnull=False)
    unnamed = emptied.annotate(first=first).filter(first=None)
    return int(unnamed._raw_delete(DEFAULT_DB_ALIAS))
