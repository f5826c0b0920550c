"""The reason why a delivery waits: a paused handler, a queue that takes no tasks, a pending read,
the mirror or an earlier delivery."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import OuterRef, Q, Subquery

from handlers.external import closed_queues
from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import HOLDS_CHAIN, IN_CHAIN
from handlers.ordering.unapplied import Holder, holders_of
from handlers.outbox.create import AWAITS_RECORD
from handlers.sdk import mirrored, registry

State = Delivery.State

FOR_ITS_RECORD = f"It {AWAITS_RECORD}."
NOTHING_HOLDS_IT = (
    "Nothing holds it back; the relay makes it ready within seconds. If it stays blocked, check "
    "that a listener process or beat runs."
)


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a delivery waits. `delivery` is the id of the delivery that it waits for, if any."""

    delivery: int | None
    reason: str


_NOTHING = Wait(None, NOTHING_HOLDS_IT)
_UNPUBLISHED = (State.READY, State.RETRYING)
_AWAITING = Q(state="blocked") & (Q(awaits_record=True) | Q(awaits_mirror=True))

_WHY = {
    State.READY: "has not been published yet",
    State.QUEUED: "waits for a worker",
    State.RUNNING: "is running",
    State.DEAD: "failed for good and holds back the next changes: "
    "redeliver it, or skip it and continue",
}
_AWAITS_REPORT = "was sent as a task, whose end its worker has not reported yet"


def waits_for(delivery: Delivery) -> Wait | None:
    """Return why a delivery waits, or None if it does not. At most eight queries."""
    return waits_of([delivery]).get(delivery.pk)


def waits_of(deliveries: Iterable[Delivery]) -> dict[int, Wait]:
    """Return why each delivery waits that is blocked or paused, or whose queue takes no tasks, by
    id. At most eight queries."""
    waiting = [delivery for delivery in deliveries if delivery.state in Delivery.WAITING]
    blocked = [delivery for delivery in waiting if delivery.state == State.BLOCKED]
    before = _holders_by_id(
        [delivery for delivery in blocked if delivery.chain and not delivery.awaits]
    )
    paused = _paused(waiting)
    waits = {delivery.pk: _wait(delivery, before.get(delivery.pk)) for delivery in blocked}
    waits |= _for_mirror([delivery for delivery in blocked if delivery.awaits_mirror])
    for delivery in waiting:
        mapping = paused.get(delivery.mapping_id)
        # An earlier delivery of the chain is the reason even if the mapping is paused.
        if mapping is not None and waits.get(delivery.pk, _NOTHING) == _NOTHING:
            waits[delivery.pk] = Wait(None, f"Its handler is paused {_since(mapping)}.")
    unpublished = [one for one in waiting if one.is_external and one.state in _UNPUBLISHED]
    return _for_queue(unpublished) | waits


def _for_queue(deliveries: list[Delivery]) -> dict[int, Wait]:
    """Return why external deliveries wait whose queue takes no tasks, by id."""
    reasons = closed_queues.reasons() if deliveries else {}
    if not reasons:
        return {}
    rows = Delivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries]).order_by()
    places = rows.values_list("pk", "mapping__destination__name", "queue")
    return {
        pk: Wait(None, f"It waits for its queue. {reason}")
        for pk, destination, queue in places
        if (reason := reasons.get(closed_queues.key_of(destination or "", queue)))
    }


def _paused(deliveries: list[Delivery]) -> dict[int, HandlerMapping]:
    ids = {delivery.mapping_id for delivery in deliveries}
    return HandlerMapping.objects.paused().filter(pk__in=ids).in_bulk() if ids else {}


def _since(mapping: HandlerMapping) -> str:
    """Return when the pause began. Actor and reason are only in the action log, which needs a
    permission."""
    return f"since {mapping.paused_at:%Y-%m-%d %H:%M:%S} UTC"


def _wait(delivery: Delivery, before: Delivery | None) -> Wait:
    if delivery.awaits_record:
        return Wait(None, FOR_ITS_RECORD)
    if before is None:
        return _NOTHING
    return Wait(before.pk, f"It waits for delivery {before.pk}, which {_why_unended(before)}.")


def _for_mirror(deliveries: list[Delivery]) -> dict[int, Wait]:
    """Return why deliveries wait for the mirror, by id."""
    if not deliveries:
        return {}
    of_records = {delivery.pk for delivery in deliveries if delivery.awaits_record}
    unloaded = mirrored.reader.unloaded()
    return {
        pk: _mirror_wait(one.entity, holder, is_loading=unloaded.get(one.copied))
        for pk, (one, holder) in holders_of([delivery.pk for delivery in deliveries]).items()
        if pk not in of_records
    }


def _mirror_wait(entity: str, holder: Holder | None, *, is_loading: bool | None) -> Wait:
    """Return why a delivery waits. `is_loading` says whether the mirror's first load is under way;
    None: it has ended."""
    waits = f"It {awaits_mirror(entity)}"
    if is_loading:
        return Wait(None, f"{waits}, whose first load has not ended.")
    if is_loading is not None:
        return Wait(None, f"{waits}, whose first load did not succeed: load it again.")
    if holder is None:  # the record is to be read, or only the release is missing
        return Wait(
            None, f"{waits}, which has just applied the change or reads the record from Salesforce."
        )
    if holder.state == State.DEAD:
        why = f"whose delivery {holder.pk} failed for good: the record is read instead."
        return Wait(holder.pk, f"{waits}, {why}")
    return Wait(holder.pk, f"{waits}, whose delivery {holder.pk} has not ended.")


def awaits_mirror(entity: str) -> str:
    return f"waits for the mirror of {entity}"


def _holders_by_id(deliveries: list[Delivery]) -> dict[int, Delivery]:
    """Return for each delivery the one that it waits for, by id.

    That is the delivery that holds its chain, or an earlier one that awaits its record or the
    mirror.
    """
    if not deliveries:
        return {}
    holders = Delivery.objects.filter(
        IN_CHAIN,  # for the index
        HOLDS_CHAIN | (_AWAITING & Q(pk__lt=OuterRef("pk"))),
        chain=OuterRef("chain"),
    )
    order = ("awaits_record", "awaits_mirror", "halts", "id")
    first = Subquery(holders.order_by(*order).values("pk")[:1])
    rows = Delivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries]).order_by()
    ids = dict(rows.values_list("pk", first))
    # A delivery that ended between the two queries holds nothing any more.
    still = Delivery.objects.filter(HOLDS_CHAIN | _AWAITING).select_related("mapping", "entry")
    held_by = still.in_bulk([pk for pk in ids.values() if pk])
    return {pk: held_by[before] for pk, before in ids.items() if before in held_by}


def _why_unended(delivery: Delivery) -> str:
    if delivery.awaits_record:  # resuming a paused handler would not make it start
        return AWAITS_RECORD
    if delivery.awaits_mirror:
        return awaits_mirror(delivery.entry.entity_name)
    if delivery.state in Delivery.WAITING and delivery.mapping.paused_at is not None:
        return f"does not start: its handler is paused {_since(delivery.mapping)}"
    if _is_unpublishable(delivery):
        return f"is not published, because no handler {delivery.handler!r} is registered"
    if delivery.state == State.RETRYING and delivery.due_at is not None:
        return f"failed and will be retried at {delivery.due_at:%Y-%m-%d %H:%M:%S} UTC"
    is_sent = delivery.state == State.QUEUED and delivery.is_tracked
    return _AWAITS_REPORT if is_sent else _WHY[State(delivery.state)]


def _is_unpublishable(delivery: Delivery) -> bool:
    """Return whether the relay passes over a delivery until its handler is registered, as far as
    this process knows: its modules may differ from the relay's."""
    is_to_publish = delivery.state in _UNPUBLISHED and not delivery.is_external
    return is_to_publish and registry.find(delivery.handler) is None
