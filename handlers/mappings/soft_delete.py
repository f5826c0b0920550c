"""Cleans up after handler mappings that were deleted.

Their rows stay hidden as long as deliveries refer to them, which are history and may be millions.
Waiting deliveries are skipped; the row is deleted when no delivery refers to it.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import may_be_sent
from handlers.sdk.outcomes import MAPPING_DELETED
from listeners import crash_points
from listeners.models import Position

log = structlog.get_logger(__name__)

State = Delivery.State
#: How many deliveries one transaction skips, and how many transactions a state and mapping get.
STEP = 1000
STEPS = 5
#: The waiting states, each with the order of its partial index, so that no ended row is read.
_WAITING = {
    State.BLOCKED: ("-id",),
    State.READY: ("paused", "mapping_id", "id"),
    State.QUEUED: ("queued_at",),
    State.RETRYING: ("-id",),
}
_OPEN = {**_WAITING, State.RUNNING: ("claim_deadline",)}


def skip_waiting(now: datetime) -> int:
    """Skip the waiting deliveries of deleted mappings; return how many.

    The relay calls it, because no worker may consume the queue or know the handler. The next
    delivery of each chain is then stranded, and the relay promotes it. Deliveries left over, also
    after a crash, are found by the next call. Never inside a transaction.
    """
    skipped = 0
    for mapping in HandlerMapping.with_deleted.deleted().filter(emptied_at=None):
        skipped += sum(_skip(mapping.pk, state, now) for state in _WAITING)
        if _is_added_to(mapping) or _is_open(mapping):
            continue  # a delivery whose attempt has begun may need a retry
        HandlerMapping.with_deleted.filter(pk=mapping.pk).update(emptied_at=now)
    if skipped:
        log.info("waiting deliveries of deleted mappings skipped", deliveries=skipped)
    return skipped


def _is_added_to(mapping: HandlerMapping) -> bool:
    """Return whether a transaction may still add deliveries to a deleted mapping.

    A transaction that read the mapping before its deletion holds the position's lock, so if the
    lock is free, no transaction will. Does not wait for the lock: its holder may be suspended.
    """
    position = Position.objects.filter(listener=mapping.listener_id)
    with transaction.atomic(durable=True):
        return not position.locked(skip_locked=True) and position.exists()


def _is_open(mapping: HandlerMapping) -> bool:
    """Return whether a mapping has open deliveries, also external ones that are being sent.

    One statement, so that a delivery that changes its state is seen in one of the states.
    """
    each = (Subquery(_in_state(mapping.pk, state).values("pk")[:1]) for state in _OPEN)
    row = HandlerMapping.with_deleted.filter(pk=mapping.pk)
    return row.values_list(Coalesce(*each), flat=True).first() is not None


def _skip(mapping_id: int, state: State, now: datetime) -> int:
    skipped = 0
    for _ in range(STEPS):
        with transaction.atomic(durable=True):
            waiting = _skippable(mapping_id, state, now)
            free = waiting.select_for_update(skip_locked=True)
            ids = list(free.values_list("pk", flat=True)[:STEP])
            if not ids:
                break
            skipped += Delivery.objects.filter(pk__in=ids).update(
                state=State.SKIPPED,
                error=MAPPING_DELETED,
                finished_at=now,
                due_at=None,
                paused=False,
                awaits_mirror=False,
            )
            crash_points.reach("skipped")
    return skipped


def _skippable(mapping_id: int, state: State, now: datetime) -> QuerySet[Delivery]:
    """Return a mapping's deliveries in a state.

    Leaves out those that an external task may have already, and those that await their record,
    which are skipped once it is read.
    """
    return _in_state(mapping_id, state).filter(~may_be_sent(now), awaits_record=False)


def _in_state(mapping_id: int, state: State) -> QuerySet[Delivery]:
    return Delivery.objects.filter(mapping=mapping_id, state=state).order_by(*_OPEN[state])


def forget() -> int:
    """Delete mappings that no delivery refers to; return how many. Inside any transaction."""
    # A range of one makes PostgreSQL use the index by mapping. For an equality it may read all
    # deliveries until it finds the first.
    deliveries = Delivery.objects.filter(mapping__gte=OuterRef("pk"), mapping__lte=OuterRef("pk"))
    first = Subquery(deliveries.order_by("mapping_id").values("pk")[:1])
    emptied = HandlerMapping.with_deleted.deleted().filter(emptied_at__isnull=False)
    unnamed = emptied.annotate(first=first).filter(first=None)
    return int(unnamed._raw_delete(DEFAULT_DB_ALIAS))
