"""Moves waiting deliveries to the handler or task that their mapping names now."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Concat

from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import DeliveryQuerySet
from handlers.ordering import rechain
from handlers.ordering.address import to_move
from listeners.models import Position

#: The mapping's fields that decide where its deliveries go, and when.
ADDRESS = frozenset({"handler", "task", "track", "queue", "after"})
#: The maximum number of mappings checked in one sweep.
LIMIT = 100
#: The limit of what is counted for people.
COUNTED = 10_000


def move_waiting(mapping: HandlerMapping, now: datetime) -> int:
    """Let the waiting deliveries of an edited mapping follow it; return how many have another
    handler or queue now, at most one more than COUNTED.

    Where the mapping runs after the mirror, waiting deliveries wait for it. Few deliveries move at
    once, many in slices (`handlers.ordering.rechain`). Inside the caller's transaction, which has
    saved the mapping. Locks the listener's position, so that no change is recorded for the old
    handler at the same time.
    """
    number = counted(to_move(mapping, now))
    rechain.edit(mapping.listener_id, {mapping.pk})
    return number


def counted(deliveries: DeliveryQuerySet) -> int:
    """Count deliveries up to one more than COUNTED."""
    number = 0
    for state in Delivery.WAITING:  # each has a partial index
        number += deliveries.filter(state=state).order_by()[: COUNTED + 1 - number].count()
    return number


def shown(number: int) -> str:
    """Return a number of `counted` with its noun."""
    if number == 1:
        return "1 waiting delivery"
    more = "+" if number > COUNTED else ""
    return f"{min(number, COUNTED):,}{more} waiting deliveries"


def move_left_behind(waiting: DeliveryQuerySet, now: datetime) -> int:
    """Move waiting deliveries that were not waiting when their mapping was edited, with the others
    of their records; return how many.

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
        rows = others.filter(mapping=pk).order_by().values_list("pk", "entry__record_id")
        records = dict(rows[: rechain.ROWS])
        with transaction.atomic(durable=True):
            mapping = HandlerMapping.objects.filter(pk=pk).first()
            if mapping is not None:
                Position.objects.lock_listener(mapping.listener_id)
                moved += to_move(mapping, now).filter(pk__in=records).count()
                mappings = list(HandlerMapping.objects.filter(listener=mapping.listener_id))
                rechain.follow(mapping.listener_id, mappings, {*records.values()}, edited={pk})
    return moved


def is_misdirected(delivery: Delivery) -> bool:
    """Return whether the mapping loaded with a delivery names another handler."""
    mapping = delivery.active_mapping
    if mapping is None or not (mapping.handler or mapping.task):
        return False
    current = (delivery.handler, delivery.is_tracked)
    return current != (mapping.handler or mapping.task, mapping.is_tracking)
