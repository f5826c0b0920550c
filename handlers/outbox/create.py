"""Recorded changes → their deliveries: the rows that the outbox publishes from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from audit.db.bulk_insert import insert, maker
from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from handlers.ordering.rechain import follow
from handlers.ordering.stale_changes import stale
from handlers.routing.router import GAPS, beside_lanes, route, route_with_gaps
from handlers.saves import Saves, judging, recorded_beside, saves_among
from listeners.models import Listener

AWAITS_RECORD = "waits until the record is read from Salesforce"

GapPolicy = Listener.GapPolicy
#: A change, a mapping that gets it, and why that leaves it out, if it does.
Pair = tuple[AuditLogEntry, HandlerMapping, str]


def deliver(
    entries: Sequence[AuditLogEntry],
    mappings: Sequence[HandlerMapping],
    *,
    only: Collection[tuple[int, int]] | None = None,
    gap_policy: str = GapPolicy.RECORD,
) -> list[int]:
    """Insert a delivery for each entry and mapping; the ids of those that can begin.

    Inside the caller's transaction, which has locked the listener's position and then read
    `mappings`, all of the listener's. `only`: these pairs of an entry's and a mapping's id.
    `gap_policy`: what becomes of gap events; to fetch means that their deliveries hold their place
    in the chain until the record is read.
    """
    saves = saves_among(recorded_beside(entries)) if judging(mappings) else {}
    deliveries = planned(entries, mappings, only=only, gap_policy=gap_policy, saves=saves)
    insert(deliveries)
    return [one.pk for one in deliveries if can_begin(one)]


def planned(
    entries: Sequence[AuditLogEntry],
    mappings: Sequence[HandlerMapping],
    *,
    only: Collection[tuple[int, int]] | None = None,
    gap_policy: str = GapPolicy.RECORD,
    lanes: Mapping[str, int] | None = None,
    saves: Saves | None = None,
    overdue: Sequence[Pair] = (),
) -> list[Delivery]:
    """The same deliveries, to be inserted in this transaction. `lanes`: as the position has them,
    where they are known. `saves`: those of the entries. `overdue`: pairs of entries that were
    recorded before; their deliveries come first."""
    if not entries:
        return []
    lane_of = follow(entries[0].listener_id, mappings, lanes)
    pairs = [*overdue, *_routed(entries, mappings, only, gap_policy, saves or {})]
    deliveries = _made_of(pairs, lane_of)
    beside = beside_lanes(mappings)
    _mark_overtakable(one for one in deliveries if one.mapping_id in beside)
    # Another mapping of the same handler may have had the later events of their saves.
    _mark_overtakable(deliveries[: len(overdue)])
    if gap_policy == GapPolicy.FETCH:
        _await_records(deliveries, {entry.pk for entry in entries if entry.change_type in GAPS})
    _queue_up(deliveries)
    _set_aside(deliveries, {mapping.pk for mapping in mappings if mapping.paused_at is not None})
    return deliveries


def can_begin(delivery: Delivery) -> bool:
    return delivery.state == Delivery.State.READY and not delivery.paused


def _routed(
    entries: Sequence[AuditLogEntry],
    mappings: Sequence[HandlerMapping],
    only: Collection[tuple[int, int]] | None,
    gap_policy: str,
    saves: Saves,
) -> list[Pair]:
    routes = route if gap_policy == GapPolicy.RECORD else route_with_gaps
    return [
        (entry, routed.mapping, routed.skipped)
        for entry in entries
        for routed in routes(entry, mappings, saves.get(entry.pk))
        if only is None or (entry.pk, routed.mapping.pk) in only
    ]


def overdue(
    entries: Sequence[AuditLogEntry], mappings: Sequence[HandlerMapping], saves: Saves
) -> list[Pair]:
    """Pair entries recorded in earlier batches with the mappings that ask for them only now that
    more of their saves is known, and that never had them. One query, or none."""
    pairs = _routed(entries, judging(mappings), None, GapPolicy.RECORD, saves)
    if not pairs:
        return []
    ids = {entry.pk for entry, _, _ in pairs}
    had = set(Delivery.objects.filter(entry__in=ids).values_list("entry_id", "mapping_id"))
    return [pair for pair in pairs if (pair[0].pk, pair[1].pk) not in had]


def _made_of(pairs: Sequence[Pair], lane_of: Mapping[int, int]) -> list[Delivery]:
    old = stale(list({entry.pk: entry for entry, _, _ in pairs}.values()))
    told = _told({reading.entry_id for readings in old.values() for reading in readings}, lane_of)
    deliveries = []
    for entry, mapping, left_out in pairs:
        lane = lane_of.get(mapping.pk)
        heard = {lane, mapping.handler or mapping.task} - {None}
        reasons = (one.reason for one in old.get(entry.pk, ()) if heard & told[one.entry_id])
        skipped = left_out or next(reasons, "")
        deliveries.append(_delivery(entry, mapping, skipped, lane))
    return deliveries


def _told(
    entry_ids: Collection[int], lane_of: Mapping[int, int]
) -> dict[int, set[int | str | None]]:
    """The lanes and the handlers that got each entry. Whoever did not get what was read needs the
    changes that are in it."""
    told: dict[int, set[int | str | None]] = defaultdict(set)
    if entry_ids:
        got = Delivery.objects.filter(entry__in=entry_ids).exclude(state="skipped", attempts=0)
        for entry_id, mapping_id, handler in got.values_list("entry_id", "mapping_id", "handler"):
            told[entry_id] |= {lane_of.get(mapping_id), handler} - {None}
    return told


def _queue_up(deliveries: Sequence[Delivery]) -> None:
    """Of each chain the first that has nothing before it can begin."""
    occupied = Delivery.objects.hold_chains({delivery.chain for delivery in deliveries})
    for delivery in deliveries:
        if delivery.chain in occupied:
            delivery.state = Delivery.State.BLOCKED
        elif delivery.chain:
            occupied.add(delivery.chain)


def _set_aside(deliveries: Sequence[Delivery], paused: Collection[int]) -> None:
    """What could begin and is not to, while its mapping is `paused`."""
    for delivery in deliveries:
        if delivery.mapping_id in paused:
            delivery.paused = delivery.state == Delivery.State.READY


def _mark_overtakable(deliveries: Iterable[Delivery]) -> None:
    for delivery in deliveries:
        delivery.may_be_overtaken = True


def _await_records(deliveries: Sequence[Delivery], gaps: Collection[int]) -> None:
    """`gaps`: the entries without data."""
    for delivery in deliveries:
        if delivery.entry_id in gaps and delivery.state == Delivery.State.READY:
            delivery.state = Delivery.State.BLOCKED
            delivery.awaits_record = True
            delivery.error = AWAITS_RECORD


_made = maker(Delivery)


def _delivery(
    entry: AuditLogEntry, mapping: HandlerMapping, skipped: str, lane: int | None
) -> Delivery:
    values: dict[str, Any] = {
        "entry_id": entry.pk,
        "mapping_id": mapping.pk,
        "handler": mapping.handler or mapping.task,
        "is_external": bool(mapping.task),
        "queue": mapping.queue,
        "created_at": entry.received_at,
    }
    if skipped:  # ended before it began: in no chain, so that nothing waits for it
        values |= {
            "state": Delivery.State.SKIPPED,
            "error": skipped,
            "finished_at": entry.received_at,
        }
    elif lane is not None:
        values["chain"] = f"{lane}:{entry.record_id}"
    return _made(values)
