"""Recorded changes → their deliveries: the rows that the outbox publishes from."""

from __future__ import annotations

from collections.abc import Sequence

from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from handlers.routing import lanes, route

ROWS = 1000


def deliver(entries: Sequence[AuditLogEntry], mappings: Sequence[HandlerMapping]) -> list[int]:
    """Insert a delivery for each entry and mapping; the ids of those that can begin.

    Inside the caller's transaction.
    """
    lane_of = lanes(mappings)
    deliveries = [
        _delivery(entry, routed.mapping, routed.skipped, lane_of.get(routed.mapping.pk))
        for entry in entries
        for routed in route(entry, mappings)
    ]
    occupied = _occupied({delivery.chain for delivery in deliveries} - {""})
    for delivery in deliveries:
        if delivery.chain in occupied:
            delivery.state = Delivery.State.BLOCKED
        elif delivery.chain:
            occupied.add(delivery.chain)
    created = Delivery.objects.bulk_create(deliveries, batch_size=ROWS)
    return [delivery.pk for delivery in created if delivery.state == Delivery.State.READY]


def _occupied(chains: set[str]) -> set[str]:
    """The chains with a delivery that has not ended. Locked: who ends one now waits for us, and
    then finds the one that we add behind it."""
    if not chains:
        return set()
    return set(
        Delivery.objects.filter(chain__in=chains, state__in=Delivery.UNENDED)
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
