"""Recorded changes → their deliveries: the rows that the outbox publishes from."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.db.models import Q

from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from handlers.queries import HOLDS_CHAIN
from handlers.routing import GAPS, lanes, route, route_with_gaps
from handlers.staleness import stale
from listeners.models import Listener

ROWS = 1000
AWAITS_RECORD = "waits until the record is read from Salesforce"

GapPolicy = Listener.GapPolicy


def deliver(
    entries: Sequence[AuditLogEntry],
    mappings: Sequence[HandlerMapping],
    *,
    only: Collection[tuple[int, int]] | None = None,
    gap_policy: str = GapPolicy.RECORD,
) -> list[int]:
    """Insert a delivery for each entry and mapping; the ids of those that can begin.

    Inside the caller's transaction. `mappings` are all of the listener's; `only`: these pairs of an
    entry's and a mapping's id. `gap_policy`: what becomes of gap events; to fetch means that their
    deliveries hold their place in the chain until the record is read.
    """
    deliveries = _planned(entries, mappings, only, gap_policy)
    if gap_policy == GapPolicy.FETCH:
        _await_records(deliveries)
    _queue_up(deliveries)
    created = Delivery.objects.bulk_create(deliveries, batch_size=ROWS)
    return [delivery.pk for delivery in created if delivery.state == Delivery.State.READY]


def _planned(
    entries: Sequence[AuditLogEntry],
    mappings: Sequence[HandlerMapping],
    only: Collection[tuple[int, int]] | None,
    gap_policy: str,
) -> list[Delivery]:
    lane_of = lanes(mappings)
    routes = route if gap_policy == GapPolicy.RECORD else route_with_gaps
    pairs = [
        (entry, routed)
        for entry in entries
        for routed in routes(entry, mappings)
        if only is None or (entry.pk, routed.mapping.pk) in only
    ]
    old = stale(list({entry.pk: entry for entry, _ in pairs}.values()))
    return [
        _delivery(
            entry,
            routed.mapping,
            routed.skipped or old.get(entry.pk, ""),
            lane_of.get(routed.mapping.pk),
        )
        for entry, routed in pairs
    ]


def _queue_up(deliveries: Sequence[Delivery]) -> None:
    """Of each chain the first that has nothing before it can begin."""
    occupied = hold_chains({delivery.chain for delivery in deliveries} - {""})
    for delivery in deliveries:
        if delivery.chain in occupied:
            delivery.state = Delivery.State.BLOCKED
        elif delivery.chain:
            occupied.add(delivery.chain)


def _await_records(deliveries: Sequence[Delivery]) -> None:
    for delivery in deliveries:
        if delivery.entry.change_type in GAPS and delivery.state == Delivery.State.READY:
            delivery.state = Delivery.State.BLOCKED
            delivery.awaits_record = True
            delivery.error = AWAITS_RECORD


def hold_chains(chains: set[str]) -> set[str]:
    """The chains with a delivery that has not ended, or that halts. Locked: who ends one now waits
    for us, and then finds the one that we add behind it.

    First the one that holds a chain: who ends it has that one, and then wants one that is blocked.
    """
    held = _lock(HOLDS_CHAIN, chains)
    return held | _lock(Q(state=Delivery.State.BLOCKED), chains - held)


def _lock(condition: Q, chains: set[str]) -> set[str]:
    """Lock such deliveries of these chains; the chains that have one."""
    if not chains:
        return set()
    return set(
        Delivery.objects.filter(condition, chain__in=chains)
        .select_for_update()
        .order_by("id")
        .values_list("chain", flat=True)
    )


def _delivery(
    entry: AuditLogEntry, mapping: HandlerMapping, skipped: str, lane: int | None
) -> Delivery:
    delivery = Delivery(
        entry=entry,
        mapping=mapping,
        handler=mapping.handler or mapping.task,
        is_external=bool(mapping.task),
        queue=mapping.queue,
        created_at=entry.received_at,
    )
    if skipped:  # ended before it began: in no chain, so that nothing waits for it
        delivery.state = Delivery.State.SKIPPED
        delivery.error = skipped
        delivery.finished_at = entry.received_at
    elif lane is not None:
        delivery.chain = f"{lane}:{entry.record_id}"
    return delivery
