"""Moves waiting deliveries to the lanes that the current mappings define, and to their handlers.

A million deliveries may wait, and recording needs the listener's position, which is locked while
they move. So an edit only stores the lanes and `Position.moving`, which says whose deliveries are
to follow, unless so few have not ended that they move at once. Deliveries then move by record, all
those of a record in one transaction that has locked the position:

- the records of new deliveries before these are added (`follow`);
- the others in slices, by the relay (`move_on`), in the order of their chains. The position keeps
  how far it is.

So a record's next change is never added to another lane than the ones that wait: it would overtake
them. Until its deliveries move, a record keeps the order of the former lanes, and a worker runs
none for a former handler. A lane keeps its number, also when mappings leave it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import structlog
from django.db import transaction
from django.db.models import OuterRef, Q, Subquery, Value
from django.db.models.functions import Concat

from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import IN_CHAIN, OPEN
from handlers.ordering.address import MARKED, UNBEGUN, readdress, waiting_of
from handlers.ordering.await_mirror import block_until_applied
from handlers.ordering.left_behind import holding_on, left_behind
from handlers.routing.router import lanes
from listeners.clock import database_clock
from listeners.models import Position

log = structlog.get_logger(__name__)

State = Delivery.State
#: The number of deliveries whose records a transaction moves, and of its transactions in a round.
ROWS = 100
SLICES = 20
_START = ("", 0)


def follow(
    listener_id: int,
    mappings: Sequence[HandlerMapping],
    records: Collection[str],
    position: Position | None = None,
    *,
    edited: Collection[int] = (),
) -> dict[int, int]:
    """Move the waiting deliveries of these records to the current lanes; return the lane of each
    ordered mapping.

    mappings  all mappings of the listener
    position  the listener's position, if the caller has read it
    edited    ids of mappings whose waiting deliveries go to another handler

    Inside the caller's transaction, which has locked the listener's position.
    """
    position = position or _position(listener_id)
    before = _by_id(position)
    ordered = lanes(mappings, before)
    lane_of = ordered
    if ordered != before:
        lane_of = lanes(mappings, before, holding_on(mappings, before, ordered))
    if lane_of != before:  # a mapping may have entered or left a lane
        lane_of = _begin(position, mappings)
    if position.moving or edited:
        _bring(position, mappings, lane_of, records, edited)
    return {pk: lane_of[pk] for pk in ordered}


def edit(listener_id: int, mapping_ids: Collection[int]) -> None:
    """Let the waiting deliveries of edited mappings follow. Inside the caller's transaction, which
    has saved the mappings. Locks the listener's position."""
    Position.objects.lock_listener(listener_id)
    mappings = list(HandlerMapping.objects.filter(listener=listener_id))
    _begin(_position(listener_id), mappings, mapping_ids)


def move_on() -> int:
    """Move the next deliveries that have not followed an edit; return how many were examined.
    Never inside a transaction."""
    examined = 0
    for listener_id in list(Position.objects.exclude(moving={}).values_list("pk", flat=True)):
        for _ in range(SLICES):
            with transaction.atomic(durable=True):
                # Recording goes first, and so does another process that moves them.
                held = Position.objects.filter(pk=listener_id).locked(skip_locked=True)
                position = held.exclude(moving={}).first()
                if position is None:
                    break
                mappings = list(HandlerMapping.objects.filter(listener=listener_id))
                examined += _move_slice(position, mappings, _page(position.moving["after"]))
    return examined


def _position(listener_id: int) -> Position:
    return Position.objects.filter(pk=listener_id).first() or Position(listener_id=listener_id)


def _by_id(position: Position) -> dict[int, int]:
    return {int(pk): lane for pk, lane in position.lanes.items()}


def _begin(
    position: Position, mappings: Sequence[HandlerMapping], edited: Collection[int] = ()
) -> dict[int, int]:
    """Store the lanes that the mappings define now, and that deliveries are to follow; few do so at
    once. Return the lanes.

    An edit that changes no lane can still bring a mapping to a handler that another one has left
    behind in its run.
    """
    before = _by_id(position)
    ordered = lanes(mappings, before)
    lane_of = lanes(mappings, before, left_behind(mappings, before, ordered))
    if lane_of == before and not edited:
        return lane_of
    changed = {pk for pk in before | lane_of if before.get(pk) != lane_of.get(pk)} | {*edited}
    changed &= {mapping.pk for mapping in mappings} | lane_of.keys()
    position.lanes = {str(pk): lane for pk, lane in lane_of.items()}
    if has_deliveries := Delivery.objects.filter(mapping__in=changed).exists():
        changed_lanes = {of[pk] for of in (before, lane_of) for pk in changed & of.keys()}
        members = changed | {pk for pk, lane in lane_of.items() if lane in changed_lanes}
        moving = position.moving
        position.moving = {
            "members": sorted(members.union(moving.get("members", ()))),
            "edited": sorted({*edited, *moving.get("edited", ())}),
            "after": _START,
            "left": moving.get("left", []),
        }
    _save(position)
    if has_deliveries and len(page := _page(_START)) < ROWS:
        _move_slice(position, mappings, page)
    return lane_of


def _save(position: Position) -> None:
    Position.objects.filter(pk=position.pk).update(lanes=position.lanes, moving=position.moving)


#: The chain of a delivery that has not ended, its id, its mapping and its record.
_Row = tuple[str, int, int, str]


def _page(after: Sequence[object]) -> list[_Row]:
    """Return the next deliveries of all listeners that have not ended, in the order of an index.

    Reads no more than these: a search for those of some mappings could pass over a million others.
    """
    chain, pk = after
    found = Delivery.objects.filter(IN_CHAIN).order_by("chain", "id")
    rows = found.values_list("chain", "pk", "mapping_id", "entry__record_id")
    page = list(rows.filter(chain=chain, pk__gt=pk)[:ROWS])
    return page + list(rows.filter(chain__gt=chain)[: ROWS - len(page)])


def _move_slice(
    position: Position, mappings: Sequence[HandlerMapping], page: Sequence[_Row]
) -> int:
    """Move the records of a page, and store where the next one begins; return the page's length."""
    moving = position.moving
    records = {row[3] for row in page if row[2] in moving["members"]}
    follow(position.pk, mappings, records, position)
    if position.moving is not moving:  # the mappings have changed: begin again
        return len(page)
    if len(page) == ROWS:
        moving["after"] = page[-1][:2]
    elif left := moving["left"]:
        position.moving = {"members": left, "edited": [], "after": _START, "left": []}
    else:
        position.moving = {}
    _save(position)
    return len(page)


def _bring(
    position: Position,
    mappings: Sequence[HandlerMapping],
    lane_of: Mapping[int, int],
    records: Collection[str],
    edited: Collection[int],
) -> None:
    """Move the waiting deliveries of these records."""
    moving, now = position.moving, database_clock.estimate()
    all_edited = {*edited, *moving.get("edited", ())}
    changed_lanes = {lane_of[pk] for pk in all_edited & lane_of.keys()}
    members = all_edited | {pk for pk, lane in lane_of.items() if lane in changed_lanes}
    members |= {*moving.get("members", ())}
    ids = _lock(members, lane_of, records)
    if not ids:
        return
    current = [mapping for mapping in mappings if mapping.pk in all_edited]
    for mapping in current:
        readdress(mapping, ids, now)
    staying = _move(lane_of, ids)
    # Deliveries of a mapping that enters or leaves the lane may overtake those that stay in it.
    unmarked = Delivery.objects.filter(UNBEGUN, pk__in=ids, may_be_overtaken=False)
    unmarked.update(may_be_overtaken=True)
    for mapping in current:
        if mapping.after:
            block_until_applied(waiting_of(mapping, now).filter(pk__in=ids))
    if staying:
        moving = moving or {"members": [], "edited": [], "after": _START, "left": []}
        position.moving = moving
        moving["left"] = sorted(staying.union(moving["left"]))
        _save(position)


def _lock(
    members: Collection[int], lane_of: Mapping[int, int], records: Collection[str]
) -> list[int]:
    """Lock the deliveries of these records and mappings, and return their ids.

    A worker that ends a delivery then locks the next one, so the deliveries that hold their chains
    are locked before those that wait, before any of them is changed.
    """
    of_records = Q(mapping__in=members, entry__record_id__in=records)
    rows = Delivery.objects.filter(IN_CHAIN, of_records).order_by()
    lanes_of_members = {lane for pk, lane in lane_of.items() if pk in members}
    chains = {f"{lane}:{record}" for lane in lanes_of_members for record in records}
    columns = list(rows.values_list("pk", "chain"))
    Delivery.objects.lock_occupied_chains(chains.union(chain for _, chain in columns))
    found = Delivery.objects.filter(IN_CHAIN, pk__in=[pk for pk, _ in columns]).locked()
    return list(found.values_list("pk", flat=True))


def _move(lane_of: Mapping[int, int], ids: Collection[int]) -> set[int]:
    """Move these deliveries to the lanes of their mappings.

    Returns the ids of the mappings with a running delivery that could not move.
    """
    has_order = Q(is_external=False) | Q(is_tracked=True)
    rows = Delivery.objects.filter(has_order, pk__in=ids, mapping__in=list(lane_of)).order_by()
    goals, chains = {}, set()
    for pk, mapping_id, record_id, chain in rows.values_list(
        "pk", "mapping_id", "entry__record_id", "chain"
    ):
        goal = f"{lane_of[mapping_id]}:{record_id}"
        if goal != chain:
            goals[pk] = goal
            chains |= {chain, goal}
    return _move_some(goals, chains - {""}) if goals else set()


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
            chain=Concat(Value(f"{lane}:"), Subquery(record_id)), **MARKED
        )
