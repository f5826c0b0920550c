"""What becomes of handler mappings that were deleted.

Their rows stay, hidden, for the deliveries that name them: these are history, and may be millions.
What waits for one is skipped; the row goes when no delivery names it any more.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import OuterRef, QuerySet, Subquery

from handlers.models import Delivery, HandlerMapping
from handlers.outcomes import MAPPING_DELETED
from handlers.pausing import WAITING
from listeners import milestones
from listeners.models import Position

log = structlog.get_logger(__name__)

State = Delivery.State
#: So many are skipped in one transaction, and of each state at a time.
STEP = 1000
STEPS = 5


def skip_waiting(now: datetime) -> int:
    """Skip what waits for a mapping that was deleted; how many. Not by a worker: there may be none
    that hears its queue or knows its handler.

    The next of each chain is then stranded, which the relay looks for. What is left for the next
    time, or after a crash, is found again. Never inside a transaction.
    """
    gone = list(HandlerMapping.with_deleted.deleted().values_list("pk", flat=True))
    skipped = sum(_skip(gone, state, now) for state in WAITING) if gone else 0
    if skipped:
        log.info("skipped what waited for deleted mappings", deliveries=skipped)
    return skipped


def _skip(gone: list[int], state: str, now: datetime) -> int:
    """State by state: each has an index of its own, and those that have ended have none."""
    waiting = Delivery.objects.filter(
        mapping__in=gone, state=state, is_external=False, awaits_record=False
    ).order_by()
    skipped = 0
    for _ in range(STEPS):
        with transaction.atomic(durable=True):
            free = waiting.select_for_update(skip_locked=True).values_list("pk", flat=True)
            ids = list(free[:STEP])
            if not ids:
                break
            skipped += Delivery.objects.filter(pk__in=ids).update(
                state=State.SKIPPED,
                error=MAPPING_DELETED,
                finished_at=now,
                due_at=None,
                paused=False,
            )
            milestones.reach("skipped")
    return skipped


def forget() -> int:
    """Delete the rows that no delivery names any more; how many. Never inside a transaction."""
    forgotten = 0
    for mapping in _unnamed():
        with transaction.atomic(durable=True):
            # Whoever read it before it was deleted, and adds deliveries to it, holds the position.
            list(Position.objects.select_for_update().filter(listener=mapping.listener_id))
            row = _unnamed().filter(pk=mapping.pk)
            forgotten += row._raw_delete(DEFAULT_DB_ALIAS)
    return forgotten


def _unnamed() -> QuerySet[HandlerMapping]:
    # A range of one, in the order of the index by mapping: for an equality PostgreSQL may read all
    # deliveries until it meets the first.
    mine = Delivery.objects.filter(mapping__gte=OuterRef("pk"), mapping__lte=OuterRef("pk"))
    first = Subquery(mine.order_by("mapping_id").values("pk")[:1])
    return HandlerMapping.with_deleted.deleted().annotate(first=first).filter(first=None)
