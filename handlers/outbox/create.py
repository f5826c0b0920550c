"""Creates the deliveries of recorded changes, the rows that the outbox publishes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from audit.db.bulk_insert import insert, object_factory
from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from handlers.ordering.await_mirror import await_mirror
from handlers.ordering.read_records import stale
from handlers.ordering.rechain import follow
from handlers.routing.router import (
    GAPS,
    candidates,
    overtakable_mappings,
    route,
    route_with_gaps,
)
from handlers.routing.saves import Saves, entries_of_saves, needing_saves, saves_among
from listeners.models import Listener, Position

AWAITS_RECORD = "waits until its record is read from Salesforce"

GapPolicy = Listener.GapPolicy
#: A change, a mapping that matches it, and why the mapping ignores it ("" if it does not).
Match = tuple[AuditLogEntry, HandlerMapping, str]


def deliver(
    entries: Sequence[AuditLogEntry],
    mappings: Sequence[HandlerMapping],
    *,
    only: Collection[tuple[int, int]] | None = None,
    gap_policy: str = GapPolicy.RECORD,
) -> list[int]:
    """Insert a delivery for each entry and matching mapping; return the ids that can start.

    Inside the caller's transaction, which has locked the listener's position and then read
    `mappings`, all of the listener's. `only` limits the deliveries to these pairs of entry id and
    mapping id. With the `gap_policy` FETCH, deliveries of gap events keep their place in the chain
    until the record is read. Deliveries of mappings that run after the mirror keep it
    until the mirror has applied the change.
    """
    saves = saves_among(entries_of_saves(entries)) if needing_saves(mappings) else {}
    deliveries = plan_deliveries(entries, mappings, only=only, gap_policy=gap_policy, saves=saves)
    insert(deliveries)
    return [delivery.pk for delivery in deliveries if can_begin(delivery)]


def plan_deliveries(
    entries: Sequence[AuditLogEntry],
    mappings: Sequence[HandlerMapping],
    *,
    only: Collection[tuple[int, int]] | None = None,
    gap_policy: str = GapPolicy.RECORD,
    position: Position | None = None,
    saves: Saves | None = None,
    late_matches: Sequence[Match] = (),
) -> list[Delivery]:
    """Return the deliveries that `deliver` inserts, for insertion in this transaction.

    position      the listener's position, if the caller has read it
    saves         the saves of the entries
    late_matches  pairs of entries recorded in earlier batches; their deliveries come first
    """
    if not entries:
        return []
    pairs = [*late_matches, *_routed(entries, mappings, only, gap_policy, saves or {})]
    records = {entry.record_id for entry, _, _ in pairs}
    lane_of = follow(entries[0].listener_id, mappings, records, position)
    deliveries = _deliveries(pairs, lane_of)
    overtakable = overtakable_mappings(mappings)
    _mark_overtakable(delivery for delivery in deliveries if delivery.mapping_id in overtakable)
    # Another mapping of the same handler may have received later events of the same saves.
    _mark_overtakable(deliveries[: len(late_matches)])
    if gap_policy == GapPolicy.FETCH:
        _await_records(deliveries, {entry.pk for entry in entries if entry.change_type in GAPS})
    await_mirror(deliveries, (entry for entry, _, _ in pairs), mappings)
    _block_behind_earlier(deliveries)
    _mark_paused(deliveries, {mapping.pk for mapping in mappings if mapping.paused_at is not None})
    return deliveries


def can_begin(delivery: Delivery) -> bool:
    return delivery.state == Delivery.State.READY and not delivery.paused


def _routed(
    entries: Sequence[AuditLogEntry],
    mappings: Sequence[HandlerMapping],
    only: Collection[tuple[int, int]] | None,
    gap_policy: str,
    saves: Saves,
) -> list[Match]:
    routes = route if gap_policy == GapPolicy.RECORD else route_with_gaps
    kinds = {(entry.change_type, entry.entity_name) for entry in entries}
    mappings_of = {kind: candidates(*kind, mappings) for kind in kinds}
    return [
        (entry, mapping, skip_reason)
        for entry in entries
        for mapping, skip_reason in routes(
            entry, mappings_of[entry.change_type, entry.entity_name], saves.get(entry.id)
        )
        if only is None or (entry.id, mapping.id) in only
    ]


def late_matches(
    entries: Sequence[AuditLogEntry], mappings: Sequence[HandlerMapping], saves: Saves
) -> list[Match]:
    """Pair entries of earlier batches with mappings that match only now and never had them.

    More of the entries' saves is known now. One query, or none.
    """
    pairs = _routed(entries, needing_saves(mappings), None, GapPolicy.RECORD, saves)
    if not pairs:
        return []
    ids = {entry.pk for entry, _, _ in pairs}
    had = set(Delivery.objects.filter(entry__in=ids).values_list("entry_id", "mapping_id"))
    return [pair for pair in pairs if (pair[0].pk, pair[1].pk) not in had]


def _deliveries(pairs: Sequence[Match], lane_of: Mapping[int, int]) -> list[Delivery]:
    holders_of = stale(list({entry.id: entry for entry, _, _ in pairs}.values()))
    receivers = _receivers(
        {holder.entry_id for holders in holders_of.values() for holder in holders}, lane_of
    )
    mappings = {mapping.id: mapping for _, mapping, _ in pairs}
    make = {pk: _factory(mapping) for pk, mapping in mappings.items()}
    deliveries = []
    for entry, mapping, ignored_because in pairs:
        lane = lane_of.get(mapping.id)
        skip_reason = ignored_because
        if entry.id in holders_of and not skip_reason:
            targets = {lane, mapping.handler or mapping.task} - {None}
            reasons = (
                holder.reason
                for holder in holders_of[entry.id]
                if targets & receivers[holder.entry_id]
            )
            skip_reason = next(reasons, "")
        deliveries.append(make[mapping.id](_values(entry, skip_reason, lane)))
    return deliveries


def _receivers(
    entry_ids: Collection[int], lane_of: Mapping[int, int]
) -> dict[int, set[int | str | None]]:
    """Return the lanes and handlers that received each entry, by entry id.

    A handler that did not receive the record as read still needs the changes before the reading.
    """
    receivers: dict[int, set[int | str | None]] = defaultdict(set)
    if entry_ids:
        rows = Delivery.objects.filter(entry__in=entry_ids).exclude(state="skipped", attempts=0)
        for entry_id, mapping_id, handler in rows.values_list("entry_id", "mapping_id", "handler"):
            receivers[entry_id] |= {lane_of.get(mapping_id), handler} - {None}
    return receivers


def _block_behind_earlier(deliveries: Sequence[Delivery]) -> None:
    """Block each delivery whose chain has an earlier one that has not ended, or that halts the
    chain."""
    occupied = Delivery.objects.lock_occupied_chains({delivery.chain for delivery in deliveries})
    for delivery in deliveries:
        if delivery.chain in occupied:
            delivery.state = Delivery.State.BLOCKED
        elif delivery.chain:
            occupied.add(delivery.chain)


def _mark_paused(deliveries: Sequence[Delivery], paused: Collection[int]) -> None:
    """Mark the ready deliveries of paused mappings as paused."""
    for delivery in deliveries:
        if delivery.mapping_id in paused:
            delivery.paused = delivery.state == Delivery.State.READY


def _mark_overtakable(deliveries: Iterable[Delivery]) -> None:
    for delivery in deliveries:
        delivery.may_be_overtaken = True


def _await_records(deliveries: Sequence[Delivery], gaps: Collection[int]) -> None:
    """Block the ready deliveries of the gap entries `gaps` until their records are read."""
    for delivery in deliveries:
        if delivery.entry_id in gaps and delivery.state == Delivery.State.READY:
            delivery.state = Delivery.State.BLOCKED
            delivery.awaits_record = True
            delivery.error = AWAITS_RECORD


def _factory(mapping: HandlerMapping) -> Callable[[dict[str, Any]], Delivery]:
    return object_factory(
        Delivery,
        mapping_id=mapping.pk,
        handler=mapping.handler or mapping.task,
        is_external=bool(mapping.task),
        is_tracked=mapping.is_tracking,
        queue=mapping.queue,
    )


def _values(entry: AuditLogEntry, skipped: str, lane: int | None) -> dict[str, Any]:
    values: dict[str, Any] = {"entry_id": entry.id, "created_at": entry.received_at}
    if skipped:  # ended already: in no chain, so that no delivery waits for it
        values |= {
            "state": Delivery.State.SKIPPED,
            "error": skipped,
            "finished_at": entry.received_at,
        }
    elif lane is not None:
        values["chain"] = f"{lane}:{entry.record_id}"
    return values
