"""One step of a redelivery: ended deliveries become ready, or blocked behind the head of their
chain; deliveries that wait for a retry become due now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q, prefetch_related_objects

from audit.db.bulk_insert import insert
from handlers.models import Delivery, HandlerMapping, Redelivery
from handlers.models.delivery_queryset import IN_CHAIN, OPEN
from handlers.ordering.await_mirror import release_applied
from handlers.ordering.rechain import follow
from handlers.redelivery.request import PRUNED, Counts, Row, Verdict, row_for

State = Delivery.State

#: Fields of a delivery that its mapping determines; the mapping may have changed since.
_FROM_MAPPING = ("handler", "is_external", "is_tracked", "queue", "chain")


@dataclass(frozen=True, slots=True)
class Plan:
    """The ids of the deliveries to change in a step, by their new state.

    `others` are blocked deliveries that are not redelivered, but come first in a chain that nothing
    holds; they become ready. `awaiting` are the blocked ones that run after the mirror.
    """

    retrying: list[int]
    ready: list[int]
    blocked: list[int]
    others: list[int]
    awaiting: list[int]


def requeue(
    were: Mapping[int, str], redelivery: Redelivery, now: datetime
) -> tuple[Counts, list[int]]:
    """Requeue the deliveries of a step; return their counts, and the ids to publish.

    `were` is the state of each delivery when it was picked, by id. Inside the caller's transaction,
    which has locked the positions of their listeners.
    """
    ids = list(were)
    mappings = _mappings(ids)
    chains = _chains(ids, mappings)
    rows = _locked(ids, set(chains.values()) - {""})
    counts: Counts = Counts()
    if pruned := len(ids) - len(rows.keys() & were.keys()):
        counts[Row("", "", Verdict.NOT_POSSIBLE, PRUNED)] = pruned
    targets: list[Delivery] = []
    for delivery in (rows[pk] for pk in sorted(chains.keys() & rows.keys())):
        mapping = mappings.get(delivery.mapping_id)
        row = row_for(delivery.handler, delivery.state, mapping, were[delivery.pk])
        counts[row] += 1
        if row.verdict is Verdict.SENT_AGAIN:
            targets.append(delivery)
    _update_from_mappings(targets, mappings, chains)
    _log_first_successes(targets)
    after = {pk for pk, mapping in mappings.items() if mapping.after}
    plan = _plan(targets, rows.values(), after)
    _write(plan, redelivery, now)
    released = release_applied(Delivery.objects.filter(pk__in=plan.awaiting))
    return counts, [*plan.retrying, *plan.ready, *plan.others, *released]


def _mappings(ids: Sequence[int]) -> dict[int, HandlerMapping]:
    """Return all mappings of the deliveries' listeners: a mapping's lane depends on the others."""
    owners = Delivery.objects.filter(pk__in=ids).order_by().values("entry__listener_id")
    return HandlerMapping.objects.filter(listener__in=owners).in_bulk()


def _chains(ids: Sequence[int], mappings: dict[int, HandlerMapping]) -> dict[int, str]:
    """Return the chain that each delivery would have if it were created now."""
    by_listener: dict[int, list[HandlerMapping]] = {}
    for mapping in mappings.values():
        by_listener.setdefault(mapping.listener_id, []).append(mapping)
    rows = list(
        Delivery.objects.filter(pk__in=ids).values_list("pk", "mapping_id", "entry__record_id")
    )
    records = {record_id for _, _, record_id in rows}
    lane_of = {
        pk: lane
        for listener_id, group in by_listener.items()
        for pk, lane in follow(listener_id, group, records).items()
    }
    return {
        pk: f"{lane_of[mapping_id]}:{record_id}" if mapping_id in lane_of else ""
        for pk, mapping_id, record_id in rows
    }


def _locked(ids: Sequence[int], chains: Collection[str]) -> dict[int, Delivery]:
    """Lock and return the deliveries, and those of their chains that are open or halt them."""
    targets = Q(pk__in=ids)
    left = Delivery.objects.filter(IN_CHAIN, targets).values_list("chain", flat=True)
    Delivery.objects.lock_occupied_chains({*chains, *left})
    found = Delivery.objects.filter(targets | (Q(chain__in=chains) & IN_CHAIN)).locked()
    return {delivery.pk: delivery for delivery in found.defer("error")}


def _update_from_mappings(
    targets: Iterable[Delivery], mappings: dict[int, HandlerMapping], chains: dict[int, str]
) -> None:
    """Update the deliveries whose mapping has changed."""
    changed = [
        delivery
        for delivery in targets
        if delivery.state != State.RETRYING
        and _update_from_mapping(delivery, mappings[delivery.mapping_id], chains[delivery.pk])
    ]
    Delivery.objects.bulk_update(changed, _FROM_MAPPING)


def _update_from_mapping(delivery: Delivery, mapping: HandlerMapping, chain: str) -> bool:
    wanted = (
        mapping.handler or mapping.task,
        bool(mapping.task),
        mapping.is_tracking,
        mapping.queue,
        chain,
    )
    if wanted == tuple(getattr(delivery, name) for name in _FROM_MAPPING):
        return False
    for name, value in zip(_FROM_MAPPING, wanted, strict=True):
        setattr(delivery, name, value)
    return True


def _log_first_successes(targets: Iterable[Delivery]) -> None:
    """Insert the attempts that the deliveries' rows will no longer tell."""
    succeeded = [delivery for delivery in targets if delivery.is_first_success]
    prefetch_related_objects(succeeded, "redelivery")
    insert([delivery.first_success for delivery in succeeded])


def _plan(targets: Sequence[Delivery], rows: Collection[Delivery], after: Collection[int]) -> Plan:
    """Plan the states: in each chain that no open delivery holds, the waiting delivery or target
    with the lowest id becomes the head. `after` are the mappings that run after the mirror."""
    ended = {target.pk: target for target in targets if target.state != State.RETRYING}
    held = {row.chain for row in rows if row.pk not in ended and (row.state in OPEN or row.halts)}
    chains = {target.chain for target in ended.values()} - {""}
    waiting = [
        row
        for row in rows
        if row.chain in chains and (row.pk in ended or row.state == State.BLOCKED)
    ]
    first: dict[str, Delivery] = {}
    for row in sorted(waiting, key=lambda row: row.pk):
        first.setdefault(row.chain, row)
    heads = {row.pk for chain, row in first.items() if chain not in held}
    awaiting = {pk for pk, target in ended.items() if target.mapping_id in after}
    ready = {pk for pk, target in ended.items() if pk in heads or not target.chain} - awaiting
    return Plan(
        retrying=[target.pk for target in targets if target.pk not in ended],
        ready=sorted(ready),
        blocked=sorted(ended.keys() - ready),
        others=[row.pk for row in waiting if row.pk in heads - ended.keys() and not row.awaits],
        awaiting=sorted(awaiting),
    )


def _write(plan: Plan, redelivery: Redelivery, now: datetime) -> None:
    requested = {"redelivery": redelivery, "attempts_before": F("attempts")}
    reset = requested | {
        "halts": False,
        "error": "",
        "due_at": None,
        "queued_at": None,
        "started_at": None,
        "finished_at": None,
        "worker": "",
    }
    Delivery.objects.filter(pk__in=plan.retrying).update(due_at=now, **requested)
    Delivery.objects.filter(pk__in=plan.blocked).update(state=State.BLOCKED, **reset)
    Delivery.objects.filter(pk__in=plan.awaiting).update(awaits_mirror=True)
    Delivery.objects.filter(pk__in=plan.ready).update(state=State.READY, **reset)
    Delivery.objects.filter(pk__in=plan.others).update(state=State.READY)
