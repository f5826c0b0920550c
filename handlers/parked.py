"""Why a blocked delivery does not begin: which one it waits for, and what that one does."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q

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
    """None for one that is not blocked. One query at most."""
    if delivery.state != State.BLOCKED:
        return None
    if delivery.awaits_record:
        return Wait(None, FOR_ITS_RECORD)
    before = _before(delivery)
    if before is None:
        return Wait(None, FOR_ITS_TURN)
    return Wait(before.pk, f"It waits for delivery {before.pk}, which {_what(before)}.")


def _before(delivery: Delivery) -> Delivery | None:
    """The one that holds its chain, whatever its id; or that is before it and awaits its record."""
    if not delivery.chain:
        return None
    unread = Q(awaits_record=True, pk__lt=delivery.pk)
    found = Delivery.objects.filter(HOLDS_CHAIN | unread, chain=delivery.chain)
    return found.order_by("awaits_record", "halts", "id").first()


def _what(delivery: Delivery) -> str:
    if delivery.state == State.RETRYING and delivery.due_at is not None:
        return f"failed and is tried again at {delivery.due_at:%Y-%m-%d %H:%M:%S} UTC"
    return _WHY[State(delivery.state)]
