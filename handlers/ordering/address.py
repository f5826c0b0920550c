"""The handler, task and queue of waiting deliveries, which follow those of their mapping.

A mapping keeps its row and its deliveries when its handler changes. Waiting deliveries go to the
new handler; running and ended ones are left unchanged.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import Case, F, Q, Value, When

from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import DeliveryQuerySet, may_be_sent

State = Delivery.State
#: Matches the deliveries of which no attempt has begun.
UNBEGUN = Q(state__in=(State.BLOCKED, State.READY, State.QUEUED), attempts=0)
#: The change of a delivery that moves: others may overtake it if no attempt has begun. Part of the
#: statement that moves it, since each statement writes a row and its index entries again.
MARKED = {"may_be_overtaken": Case(When(UNBEGUN, then=Value(True)), default=F("may_be_overtaken"))}


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
    rows: DeliveryQuerySet = Delivery.objects.filter(mapping=mapping.pk, state__in=Delivery.WAITING)
    return rows.exclude(may_be_sent(now))


def readdress(mapping: HandlerMapping, delivery_ids: Collection[int], now: datetime) -> int:
    """Address those of these deliveries that `to_move` finds to the mapping's handler; return how
    many. The relay publishes them. Inside the caller's transaction, which has locked them."""
    rows = to_move(mapping, now).filter(pk__in=delivery_ids)
    return rows.update(**_address(mapping), queued_at=None, **_place(mapping), **MARKED)


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
