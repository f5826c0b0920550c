"""Moves waiting deliveries to the handler or task that their mapping names now.

A mapping keeps its row and its deliveries when its handler changes. Waiting deliveries go to the
new handler; running and ended ones are left unchanged.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial

import structlog
from django.db import transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Concat

from handlers.mappings.pause import WAITING
from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import DeliveryQuerySet, may_be_sent
from handlers.ordering import await_mirror
from handlers.ordering.rechain import follow, lock_lanes
from listeners.models import Position

log = structlog.get_logger(__name__)

State = Delivery.State
#: The mapping's fields that decide where its deliveries go, and when.
ADDRESS = frozenset({"handler", "task", "track", "queue", "after"})
#: The maximum number of mappings checked in one sweep.
LIMIT = 100


def to_move(mapping: HandlerMapping, now: datetime) -> DeliveryQuerySet:
    """Return the waiting deliveries of a mapping that are addressed to another handler or queue.

    Leaves out deliveries that are being sent to an external task, which may have them already. A
    mapping without a handler moves nothing; its deliveries keep their handler.
    """
    if not (mapping.handler or mapping.task):
        return Delivery.objects.none()
    return waiting_of(mapping, now).exclude(**_address(mapping))


def waiting_of(mapping: HandlerMapping, now: datetime) -> DeliveryQuerySet:
    """Return the waiting deliveries of a mapping, without those that an external task may have
    already: it was sent and not reported, or is being sent."""
    rows: DeliveryQuerySet = Delivery.objects.filter(mapping=mapping.pk, state__in=WAITING)
    return rows.exclude(may_be_sent(now))


def move_waiting(mapping: HandlerMapping, now: datetime) -> int:
    """Move the deliveries that `to_move` finds, in the order of their records; return how many.

    Where the mapping runs after the mirror, waiting deliveries wait for it from now on. The relay
    publishes the others. Inside the caller's transaction, which has saved the mapping. Locks
    the listener's position, so that no change is recorded for the old handler at the same time.
    """
    held = Position.objects.filter(listener=mapping.listener_id).lock()
    known = held[0].lanes if held else {}
    mappings = list(HandlerMapping.objects.filter(listener=mapping.listener_id))
    lock_lanes(mappings, known, {mapping.pk})
    moved = _move(mapping, now)
    follow(mapping.listener_id, mappings, known, entering={mapping.pk} if moved else ())
    if mapping.after:
        await_mirror.block_until_applied(waiting_of(mapping, now))
    return moved


def _move(mapping: HandlerMapping, now: datetime) -> int:
    rows = to_move(mapping, now)
    Delivery.objects.lock_occupied_chains(set(rows.values_list("chain", flat=True)))
    ids = list(rows.locked().values_list("pk", flat=True))
    if not ids:
        return 0
    rows.update(**_address(mapping), queued_at=None, **_place(mapping))
    said = partial(log.info, "waiting deliveries moved", mapping=str(mapping), deliveries=len(ids))
    transaction.on_commit(said)
    return len(ids)


def move_left_behind(waiting: DeliveryQuerySet, now: datetime) -> int:
    """Move waiting deliveries that were not waiting when their mapping was edited; return how many.

    Examples are runs that failed after the edit. Never inside a transaction.
    """
    named = waiting.annotate(target=Concat("mapping__handler", "mapping__task"))
    tracks = Case(When(mapping__task="", then=Value(False)), default=F("mapping__track"))
    others = named.exclude(target="").exclude(
        target=F("handler"), queue=F("mapping__queue"), is_tracked=tracks
    )
    ids = others.order_by().values_list("mapping_id", flat=True).distinct()[:LIMIT]
    moved = 0
    for pk in list(ids):
        with transaction.atomic(durable=True):
            mapping = HandlerMapping.objects.filter(pk=pk).first()
            moved += move_waiting(mapping, now) if mapping is not None else 0
    return moved


def is_misdirected(delivery: Delivery) -> bool:
    """Return whether the mapping loaded with a delivery names another handler."""
    mapping = delivery.active_mapping
    if mapping is None or not (mapping.handler or mapping.task):
        return False
    current = (delivery.handler, delivery.is_tracked)
    return current != (mapping.handler or mapping.task, mapping.is_tracking)


def _address(mapping: HandlerMapping) -> dict[str, object]:
    return {
        "handler": mapping.handler or mapping.task,
        "is_external": bool(mapping.task),
        "is_tracked": mapping.is_tracking,
        "queue": mapping.queue,
    }


def _place(mapping: HandlerMapping) -> dict[str, object]:
    """Return the changed state columns of moved deliveries.

    Queued ones become ready, because their message names the old handler. For an external task that
    is not tracked, they leave their chain and are not retried.
    """
    if not mapping.has_outcomes:
        is_awaiting = Q(awaits_record=True) | Q(awaits_mirror=True)
        still = When(is_awaiting, then=Value(State.BLOCKED))
        return {"state": Case(still, default=Value(State.READY)), "chain": "", "due_at": None}
    again = When(state=State.QUEUED, then=Value(State.READY))
    return {"state": Case(again, default=F("state"))}
