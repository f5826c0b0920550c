"""Moves waiting deliveries to the lanes that the current mappings define.

After a change of the mappings they move before new deliveries are added: in another lane, a
record's next change would overtake them. A lane keeps its number, also when mappings leave it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial, reduce
from operator import or_

import structlog
from django.db import transaction
from django.db.models import OuterRef, Q, Subquery, Value
from django.db.models.functions import Concat

from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import IN_CHAIN, OPEN
from handlers.ordering.left_behind import holding_on, left_behind
from handlers.routing.router import lanes
from listeners.models import Position

log = structlog.get_logger(__name__)

State = Delivery.State
RECORDS = 500
ROWS = 5_000
_UNBEGUN = (State.BLOCKED, State.READY, State.QUEUED)


def follow(
    listener_id: int,
    mappings: Sequence[HandlerMapping],
    known: Mapping[str, int] | None = None,
    *,
    entering: Collection[int] | None = None,
) -> dict[int, int]:
    """Move waiting deliveries to the current lanes; return the lane of each ordered mapping.

    mappings  all mappings of the listener
    known     the lanes stored with the position, if the caller has read them
    entering  given after an edit: ids of mappings that named a task before, whose deliveries have
              no chain yet. An edit that changes no lane can still bring a mapping to a handler that
              another one has left behind in its run

    Inside the caller's transaction, which has locked the listener's position.
    """
    if known is None:
        positions = Position.objects.filter(listener=listener_id)
        known = positions.values_list("lanes", flat=True).first() or {}
    before = _by_id(known)
    ordered = lanes(mappings, before)
    if ordered == before and entering is None:
        return ordered
    lane_of = lanes(mappings, before, holding_on(mappings, before, ordered))
    if lane_of == before and entering is None:  # nothing else has entered or left a lane
        return {pk: lane_of[pk] for pk in ordered}
    lane_of = lanes(mappings, before, left_behind(mappings, before, ordered))
    entering = entering or ()
    if lane_of != before or entering:
        moved = {
            pk: lane for pk, lane in lane_of.items() if before.get(pk) != lane or pk in entering
        }
        _mark_overtakable(_lock_lanes(mappings, before, [lane_of], entering))
        unmoved = _move(moved)
        stored = {str(pk): lane for pk, lane in lane_of.items() if pk not in unmoved}
        Position.objects.filter(listener=listener_id).update(lanes=stored)
    return {pk: lane_of[pk] for pk in ordered}


def lock_lanes(
    mappings: Sequence[HandlerMapping], known: Mapping[str, int], entering: Collection[int]
) -> None:
    """Lock the deliveries of all lanes that `follow` will change.

    For a caller that changes some of them first: a worker that ends a delivery then locks the next
    one, so the running delivery must be locked before the waiting ones. Inside the caller's
    transaction, which has locked the listener's position.
    """
    before = _by_id(known)
    ordered = lanes(mappings, before)
    # What is left behind may have ended by the time of `follow`.
    lane_of = lanes(mappings, before, left_behind(mappings, before, ordered))
    _lock_lanes(mappings, before, [ordered, lane_of], entering)


def _by_id(known: Mapping[str, int]) -> dict[int, int]:
    return {int(pk): lane for pk, lane in known.items()}


def _lock_lanes(
    mappings: Sequence[HandlerMapping],
    known: Mapping[int, int],
    wanted: Sequence[Mapping[int, int]],
    entering: Collection[int],
) -> list[int]:
    """Lock the deliveries of the changed lanes; return the ids of the mappings in these lanes.

    A lane is changed if a mapping enters or leaves it, in one of the `wanted` lanes. Returns an
    empty list if the mappings that enter or leave have no deliveries.
    """
    changed = {
        pk
        for lane_of in wanted
        for pk in known.keys() | lane_of.keys()
        if known.get(pk) != lane_of.get(pk)
    }
    changed = (changed | {*entering}) & {mapping.pk for mapping in mappings}.union(*wanted)
    if not Delivery.objects.filter(mapping__in=changed).exists():
        return []
    changed_lanes = {lane_of[pk] for lane_of in (known, *wanted) for pk in changed & lane_of.keys()}
    others = {pk for lane_of in wanted for pk, lane in lane_of.items() if lane in changed_lanes}
    members = [*(changed | others)]
    held = Delivery.objects.filter(IN_CHAIN, mapping__in=members).locked()
    list(held.values_list("pk", flat=True))
    return members


def _mark_overtakable(members: Sequence[int]) -> None:
    """Mark the waiting deliveries of these mappings as `may_be_overtaken`.

    Deliveries of a mapping that enters or leaves the lane may overtake them.
    """
    if not members:
        return
    waiting = Delivery.objects.filter(mapping__in=members, state__in=_UNBEGUN, attempts=0)
    Delivery.objects.lock_occupied_chains(set(waiting.values_list("chain", flat=True)))
    ids = list(waiting.locked().values_list("pk", flat=True))
    for start in range(0, len(ids), ROWS):
        rows = Delivery.objects.filter(pk__in=ids[start : start + ROWS])
        rows.update(may_be_overtaken=True)


def _move(lane_of: Mapping[int, int]) -> set[int]:
    """Move the waiting deliveries of these mappings to their lane.

    Returns the ids of the mappings with a running delivery that could not move.
    """
    elsewhere = [Q(mapping=pk) & ~Q(chain__startswith=f"{lane}:") for pk, lane in lane_of.items()]
    if not elsewhere:
        return set()
    has_order = Q(is_external=False) | Q(is_tracked=True)
    misplaced = Delivery.objects.filter(IN_CHAIN, has_order, reduce(or_, elsewhere)).order_by()
    unmoved: set[int] = set()
    for records in _pages(misplaced.values_list("entry__record_id", flat=True).distinct()):
        rows = misplaced.filter(entry__record_id__in=records)
        columns = rows.values_list("pk", "mapping_id", "entry__record_id", "chain")
        goals, chains = {}, set()
        for pk, mapping_id, record_id, chain in columns:
            goals[pk] = f"{lane_of[mapping_id]}:{record_id}"
            chains |= {chain, goals[pk]}
        unmoved |= _move_some(goals, chains - {""})
    return unmoved


def _pages(records: Iterable[str]) -> Iterator[list[str]]:
    names = list(records)
    for start in range(0, len(names), RECORDS):
        yield names[start : start + RECORDS]


def _move_some(goal_of: dict[int, str], chains: set[str]) -> set[int]:
    """Move deliveries between chains; return the ids of mappings with a delivery that stayed.

    goal_of  the new chain of each delivery, by id
    chains   the new chains and the chains that the deliveries leave
    """
    Delivery.objects.lock_occupied_chains(chains)
    # With the condition in both parts, SQLite uses an index for each.
    of_chains, named = IN_CHAIN & Q(chain__in=chains), IN_CHAIN & Q(pk__in=goal_of)
    members = Delivery.objects.filter(of_chains | named)
    rows = list(members.locked().defer("error"))
    goals = {row.pk: goal_of.get(row.pk, row.chain) for row in rows}
    staying = _leave_second_runs(rows, goals)
    moving = [row for row in rows if goals[row.pk] != row.chain]
    to_block = _surplus(rows, goals)
    _write(moving, to_block, goals)
    Delivery.objects.promote(chains)  # the relay publishes them
    said = partial(
        log.info, "deliveries moved to other lanes", deliveries=len(moving), left=len(staying)
    )
    transaction.on_commit(said)
    return {row.mapping_id for row in staying if row.mapping_id}


def _leave_second_runs(rows: Sequence[Delivery], goals: dict[int, str]) -> list[Delivery]:
    """Reset the goals of second running deliveries of a chain and return these deliveries.

    A chain has at most one running delivery; a second one moves after it has ended or waits again.
    """
    staying: list[Delivery] = []
    while True:
        runs: dict[str, list[Delivery]] = defaultdict(list)
        for row in rows:
            if row.has_begun and goals[row.pk]:
                runs[goals[row.pk]].append(row)
        seconds = [
            row
            for goal, group in runs.items()
            for row in sorted(group, key=lambda row: (row.chain != goal, row.pk))[1:]
        ]
        if not seconds:
            return staying
        for row in seconds:
            goals[row.pk] = row.chain
        staying += seconds


def _surplus(rows: Sequence[Delivery], goals: Mapping[int, str]) -> list[int]:
    """Return the ids of open deliveries to block, so that each chain has at most one open delivery.

    A chain with a running or halting delivery keeps no other open one.
    """
    members: dict[str, list[Delivery]] = defaultdict(list)
    for row in rows:
        if goals[row.pk]:
            members[goals[row.pk]].append(row)
    to_block: list[int] = []
    for group in members.values():
        is_held = any(row.halts or row.has_begun for row in group)
        waiting = sorted(row.pk for row in group if row.state in OPEN and not row.has_begun)
        to_block += waiting if is_held else waiting[1:]
    return to_block


def _write(moving: Sequence[Delivery], to_block: Sequence[int], goals: Mapping[int, str]) -> None:
    """Write the moves. Open deliveries leave all chains first, so that no two of them are ever in
    one chain, which a constraint forbids."""
    Delivery.objects.filter(pk__in=to_block).update(
        state=State.BLOCKED, due_at=None, queued_at=None
    )
    by_lane: dict[str, list[int]] = defaultdict(list)
    for row in moving:
        by_lane[goals[row.pk].partition(":")[0]].append(row.pk)
    open_ids = [row.pk for row in moving if row.state in OPEN]
    Delivery.objects.filter(pk__in=open_ids).update(chain="")
    record_id = AuditLogEntry.objects.filter(pk=OuterRef("entry")).values("record_id")
    for lane, ids in by_lane.items():
        Delivery.objects.filter(pk__in=ids).update(
            chain=Concat(Value(f"{lane}:"), Subquery(record_id))
        )
