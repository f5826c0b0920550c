"""Why a delivery does not begin: its handler is paused; or it is blocked, which one it waits for,
and what that one does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import OuterRef, Q, Subquery

from handlers.mappings.pause import WAITING
from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import HOLDS_CHAIN

State = Delivery.State

FOR_ITS_RECORD = "It waits until its record is read from Salesforce."
FOR_ITS_TURN = "It is next: it becomes ready within seconds."


@dataclass(frozen=True, slots=True)
class Wait:
    """`delivery`: the id of the one that it waits for, or None when it waits for no other."""

    delivery: int | None
    reason: str


_NEXT = Wait(None, FOR_ITS_TURN)

_WHY = {
    State.READY: "is ready",
    State.QUEUED: "waits for a worker",
    State.RUNNING: "runs",
    State.DEAD: "failed for good and holds back what follows: redeliver it, or go on without it",
    State.BLOCKED: "waits until its record is read from Salesforce",
}


def waits_for(delivery: Delivery) -> Wait | None:
    """None for one that waits for nobody. Three queries at most."""
    return waits_of([delivery]).get(delivery.pk)


def waits_of(deliveries: Iterable[Delivery]) -> dict[int, Wait]:
    """Of those that are blocked or paused, by id. Three queries at most, however many there are."""
    waiting = [one for one in deliveries if one.state in WAITING]
    blocked = [one for one in waiting if one.state == State.BLOCKED]
    before = _before([one for one in blocked if one.chain and not one.awaits_record])
    paused = _paused(waiting)
    found = {one.pk: _wait(one, before.get(one.pk)) for one in blocked}
    for one in waiting:
        mapping = paused.get(one.mapping_id or 0)
        # What is before it goes first, whether it is paused or not.
        if mapping is not None and found.get(one.pk, _NEXT) == _NEXT:
            found[one.pk] = Wait(None, f"Its handler is paused {_since(mapping)}.")
    return found


def _paused(deliveries: list[Delivery]) -> dict[int, HandlerMapping]:
    ids = {one.mapping_id for one in deliveries} - {None}
    return HandlerMapping.objects.paused().filter(pk__in=ids).in_bulk() if ids else {}


def _since(mapping: HandlerMapping) -> str:
    """By whom and why is in the action log, for who may see that."""
    return f"since {mapping.paused_at:%Y-%m-%d %H:%M:%S} UTC"


def _wait(delivery: Delivery, before: Delivery | None) -> Wait:
    if delivery.awaits_record:
        return Wait(None, FOR_ITS_RECORD)
    if before is None:
        return _NEXT
    return Wait(before.pk, f"It waits for delivery {before.pk}, which {_what(before)}.")


def _before(deliveries: list[Delivery]) -> dict[int, Delivery]:
    """The one that holds its chain, whatever its id; or that is before it and awaits its record."""
    if not deliveries:
        return {}
    unread = Q(awaits_record=True, pk__lt=OuterRef("pk"))
    found = Delivery.objects.filter(HOLDS_CHAIN | unread, chain=OuterRef("chain"))
    first = Subquery(found.order_by("awaits_record", "halts", "id").values("pk")[:1])
    mine = Delivery.objects.filter(pk__in=[one.pk for one in deliveries]).order_by()
    ids = dict(mine.values_list("pk", first))
    # What ended between the two queries holds nothing any more.
    still = Delivery.objects.filter(HOLDS_CHAIN | Q(awaits_record=True)).select_related("mapping")
    held_by = still.in_bulk([pk for pk in ids.values() if pk])
    return {pk: held_by[before] for pk, before in ids.items() if before in held_by}


def _what(delivery: Delivery) -> str:
    mapping = delivery.mapping
    if delivery.state in WAITING and mapping is not None and mapping.paused_at is not None:
        return f"does not begin: its handler is paused {_since(mapping)}"
    if delivery.state == State.RETRYING and delivery.due_at is not None:
        return f"failed and is tried again at {delivery.due_at:%Y-%m-%d %H:%M:%S} UTC"
    return _WHY[State(delivery.state)]
