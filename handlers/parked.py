"""Why a blocked delivery does not begin: which one it waits for, and what that one does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import OuterRef, Q, Subquery

from handlers.models import Delivery
from handlers.queries import HOLDS_CHAIN

State = Delivery.State

FOR_ITS_RECORD = "It waits until its record is read from Salesforce."
FOR_ITS_TURN = "It is next: it becomes ready within seconds."

_WHY = {
    State.READY: "is ready",
    State.QUEUED: "waits for a worker",
    State.RUNNING: "runs",
    State.DEAD: "failed for good and holds back what follows: redeliver it, or go on without it",
    State.BLOCKED: "waits until its record is read from Salesforce",
}


@dataclass(frozen=True, slots=True)
class Wait:
    """`delivery`: the id of the one that it waits for, or None when it waits for no other."""

    delivery: int | None
    reason: str


def waits_for(delivery: Delivery) -> Wait | None:
    """None for one that is not blocked. Two queries at most."""
    return waits_of([delivery]).get(delivery.pk)


def waits_of(deliveries: Iterable[Delivery]) -> dict[int, Wait]:
    """Of those that are blocked, by id. Two queries at most, however many there are."""
    blocked = [one for one in deliveries if one.state == State.BLOCKED]
    before = _before([one for one in blocked if one.chain and not one.awaits_record])
    return {one.pk: _wait(one, before.get(one.pk)) for one in blocked}


def _wait(delivery: Delivery, before: Delivery | None) -> Wait:
    if delivery.awaits_record:
        return Wait(None, FOR_ITS_RECORD)
    if before is None:
        return Wait(None, FOR_ITS_TURN)
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
    still = Delivery.objects.filter(HOLDS_CHAIN | Q(awaits_record=True))
    held_by = still.in_bulk([pk for pk in ids.values() if pk])
    return {pk: held_by[before] for pk, before in ids.items() if before in held_by}


def _what(delivery: Delivery) -> str:
    if delivery.state == State.RETRYING and delivery.due_at is not None:
        return f"failed and is tried again at {delivery.due_at:%Y-%m-%d %H:%M:%S} UTC"
    return _WHY[State(delivery.state)]
