"""One step of a redelivery: what has ended becomes ready, or blocked where its record's order asks
for it; what is to be tried again is tried now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q

from handlers.models import Delivery, HandlerMapping, Redelivery
from handlers.models.delivery_queryset import IN_CHAIN, OPEN
from handlers.ordering.rechain import follow
from handlers.redelivery.request import PRUNED, Counts, Row, Verdict, judged

State = Delivery.State

#: What a mapping says of its deliveries, and may have said otherwise when they were made.
_FOLLOWED = ("handler", "is_external", "queue", "chain")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become of the deliveries of a step, by id. `others` were stranded before them."""

    retrying: list[int]
    ready: list[int]
    blocked: list[int]
    others: list[int]


def requeue(
    were: Mapping[int, str], redelivery: Redelivery, now: datetime
) -> tuple[Counts, list[int]]:
    """The counts, and the ids to publish. `were`: the state of each delivery when it was picked.
    Inside the caller's transaction, which has locked the positions of their listeners."""
    ids = list(were)
    mappings = _mappings(ids)
    chains = _chains(ids, mappings)
    rows = _locked(ids, set(chains.values()) - {""})
    counts: Counts = Counts()
    if pruned := len(ids) - len(rows.keys() & were.keys()):
        counts[Row("", "", Verdict.NOT_POSSIBLE, PRUNED)] = pruned
    targets: list[Delivery] = []
    for delivery in (rows[pk] for pk in sorted(chains.keys() & rows.keys())):
        mapping = mappings.get(delivery.mapping_id or 0)
        row = judged(delivery.handler, delivery.state, mapping, were[delivery.pk])
        counts[row] += 1
        if row.verdict is Verdict.SENT_AGAIN:
            targets.append(delivery)
    _follow(targets, mappings, chains)
    plan = _plan(targets, rows.values())
    _write(plan, redelivery, now)
    return counts, [*plan.retrying, *plan.ready, *plan.others]


def _mappings(ids: Sequence[int]) -> dict[int, HandlerMapping]:
    """All of their listeners: which lane one is in depends on the others."""
    owners = Delivery.objects.filter(pk__in=ids).order_by().values("entry__listener_id")
    return HandlerMapping.objects.filter(listener__in=owners).in_bulk()


def _chains(ids: Sequence[int], mappings: dict[int, HandlerMapping]) -> dict[int, str]:
    """The chain that each delivery would be in if it were made now."""
    by_listener: dict[int, list[HandlerMapping]] = {}
    for mapping in mappings.values():
        by_listener.setdefault(mapping.listener_id, []).append(mapping)
    lane_of = {
        pk: lane for of, group in by_listener.items() for pk, lane in follow(of, group).items()
    }
    rows = Delivery.objects.filter(pk__in=ids).values_list("pk", "mapping_id", "entry__record_id")
    return {
        pk: f"{lane_of[mapping_id]}:{record_id}" if mapping_id in lane_of else ""
        for pk, mapping_id, record_id in rows
    }


def _locked(ids: Sequence[int], chains: Collection[str]) -> dict[int, Delivery]:
    """They, and what has not ended or halts in their chains."""
    asked = Q(pk__in=ids)
    left = Delivery.objects.filter(IN_CHAIN, asked).values_list("chain", flat=True)
    Delivery.objects.hold_chains({*chains, *left})
    found = Delivery.objects.filter(asked | (Q(chain__in=chains) & IN_CHAIN)).locked()
    return {delivery.pk: delivery for delivery in found.defer("error")}


def _follow(
    targets: Iterable[Delivery], mappings: dict[int, HandlerMapping], chains: dict[int, str]
) -> None:
    """Give each what its mapping says now, and write down where that differs."""
    changed = [
        delivery
        for delivery in targets
        if delivery.state != State.RETRYING
        and _followed(delivery, mappings[delivery.mapping_id or 0], chains[delivery.pk])
    ]
    Delivery.objects.bulk_update(changed, _FOLLOWED)


def _followed(delivery: Delivery, mapping: HandlerMapping, chain: str) -> bool:
    wanted = (mapping.handler or mapping.task, bool(mapping.task), mapping.queue, chain)
    if wanted == tuple(getattr(delivery, name) for name in _FOLLOWED):
        return False
    for name, value in zip(_FOLLOWED, wanted, strict=True):
        setattr(delivery, name, value)
    return True


def _plan(targets: Sequence[Delivery], rows: Collection[Delivery]) -> Plan:
    """One of each chain begins, if none holds it: the lowest id of those that wait and of those
    that are sent again."""
    again = {one.pk: one for one in targets if one.state != State.RETRYING}
    held = {one.chain for one in rows if one.pk not in again and (one.state in OPEN or one.halts)}
    chains = {one.chain for one in again.values()} - {""}
    waiting = [
        one
        for one in rows
        if one.chain in chains and (one.pk in again or one.state == State.BLOCKED)
    ]
    first: dict[str, Delivery] = {}
    for one in sorted(waiting, key=lambda one: one.pk):
        first.setdefault(one.chain, one)
    begin = {one.pk for chain, one in first.items() if chain not in held}
    ready = {pk for pk, one in again.items() if pk in begin or not one.chain}
    return Plan(
        retrying=[one.pk for one in targets if one.pk not in again],
        ready=sorted(ready),
        blocked=sorted(again.keys() - ready),
        others=[
            one.pk for one in waiting if one.pk in begin - again.keys() and not one.awaits_record
        ],
    )


def _write(plan: Plan, redelivery: Redelivery, now: datetime) -> None:
    wish = {"redelivery": redelivery, "attempts_before": F("attempts")}
    afresh = wish | {
        "halts": False,
        "error": "",
        "due_at": None,
        "queued_at": None,
        "started_at": None,
        "finished_at": None,
    }
    Delivery.objects.filter(pk__in=plan.retrying).update(due_at=now, **wish)
    Delivery.objects.filter(pk__in=plan.blocked).update(state=State.BLOCKED, **afresh)
    Delivery.objects.filter(pk__in=plan.ready).update(state=State.READY, **afresh)
    Delivery.objects.filter(pk__in=plan.others).update(state=State.READY)
