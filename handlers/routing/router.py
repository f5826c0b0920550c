"""Selection of the mappings that get a change. Pure: reads neither the database nor the clock."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from enum import StrEnum
from itertools import count
from typing import NamedTuple

from audit.models import AuditLogEntry
from handlers.models import HandlerMapping
from handlers.rules.conditions import Change, matches
from handlers.rules.field_paths import overlap
from handlers.rules.ignored_authors import left_out

#: The mappings' `on` value for each change type that handlers can get.
ON = {"CREATE": "create", "UPDATE": "update", "DELETE": "delete", "UNDELETE": "restore"}
#: The mappings' `on` value for each type of gap event.
GAPS = {f"GAP_{change_type}": on for change_type, on in ON.items()}
#: More mappings than there will ever be.
_BEYOND_IDS = 2**40

#: A mirror, our handlers, or the tasks of one destination: lanes do not reach beyond it.
_Place = tuple[bool, bool, int | None]


class Routed(NamedTuple):
    """A mapping that a change matches. `skipped` says why the mapping ignores the change, if so."""

    mapping: HandlerMapping
    skipped: str = ""


def route(
    change: AuditLogEntry, mappings: Iterable[HandlerMapping], save: Change | None = None
) -> list[Routed]:
    """Return the mappings that get this change, and those that ignore it because of its author.

    Conditions are evaluated on `save`, if the change's save came as several events; everything else
    is evaluated on the change. Gap events, overflows, wildcards and unknown change types match no
    mapping, because they carry no data.
    """
    return [
        routed
        for routed in _of_kind(ON.get(change.change_type), change, mappings)
        if _concerns(change, routed.mapping) and matches(routed.mapping.condition, save or change)
    ]


def route_with_gaps(
    change: AuditLogEntry, mappings: Iterable[HandlerMapping], save: Change | None = None
) -> list[Routed]:
    """Return the mappings that get this change, also for a gap event.

    A gap event has no data, so changed fields and conditions count as met for it.
    """
    on = GAPS.get(change.change_type)
    return _of_kind(on, change, mappings) if on else route(change, mappings, save)


class Miss(StrEnum):
    """The reason why a mapping does not get a change."""

    KIND = "another kind of change"
    GAP = "a gap event"
    ENTITY = "another entity"
    FIELDS = "none of the watched fields changed"
    CONDITION = "the condition is not met"


def miss(change: AuditLogEntry, mapping: HandlerMapping, save: Change | None = None) -> Miss | None:
    """Return why `route` does not return a mapping with a handler or task; None if it does."""
    on = ON.get(change.change_type)
    if on != mapping.on or not _is_of_one_record(change):
        return Miss.GAP if route_with_gaps(change, [mapping]) else Miss.KIND
    if not _of_kind(on, change, [mapping]):
        return Miss.ENTITY
    if not _concerns(change, mapping):
        return Miss.FIELDS
    return None if matches(mapping.condition, save or change) else Miss.CONDITION


def _of_kind(
    on: str | None, change: AuditLogEntry, mappings: Iterable[HandlerMapping]
) -> list[Routed]:
    if on is None or not _is_of_one_record(change):
        return []
    return [
        Routed(mapping, left_out(change, mapping.ignore_origins, mapping.ignore_users))
        for mapping in mappings
        if _takes(mapping, on, change.entity_name)
    ]


def _takes(mapping: HandlerMapping, on: str, entity_name: str) -> bool:
    return (
        mapping.on == on
        and mapping.entity in ("*", entity_name)
        and bool(mapping.handler or mapping.task)
    )


def candidates(
    change_type: str, entity_name: str, mappings: Iterable[HandlerMapping]
) -> list[HandlerMapping]:
    """Return the mappings that can match changes of this type and entity, gap events included."""
    on = GAPS.get(change_type) or ON.get(change_type)
    return [mapping for mapping in mappings if on and _takes(mapping, on, entity_name)]


def lanes(
    mappings: Iterable[HandlerMapping],
    known: Mapping[int, int] | None = None,
    left_behind: Sequence[HandlerMapping] = (),
) -> dict[int, int]:
    """Return the lane of each mapping that keeps a record's order, by mapping id.

    Mappings to the same handler share a lane, and so do handlers that never get the same change: a
    record's update waits for its create, whether one function handles both or two do. Handlers of
    the same change have separate lanes, so a failing handler does not hold up another one. So do
    our handlers and the tasks of each destination, so that none waits for another project, and the
    mirrors, which would wait for handlers that wait for them.

    known        the lanes until now, by mapping id: a lane keeps its number
    left_behind  mappings as they were for deliveries that have not ended (`with_target`). They keep
                 the mappings of their former lane together, and with those of the same handler. If
                 no mapping has that handler now, the lane gets the number of another one of these:
                 of two running deliveries of a record, the next change waits for the one that is in
                 the lane already, which must be the one of its handler
    """
    known = known or {}
    ordered = (
        mapping for mapping in mappings if mapping.has_outcomes and mapping.ordering == "per_record"
    )
    groups = _by_target(ordered)
    current = {_target(mapping) for group in groups for mapping in group}
    for former in left_behind:
        together, apart = [former], []
        for group in groups:
            if any(_belong_together(former, mapping, known) for mapping in group):
                together.extend(group)
            else:
                apart.append(group)
        groups = [*apart, together]
    lost = {one.pk for one in left_behind} - {
        one.pk for one in left_behind if _target(one) in current
    }
    return _numbered([sorted({mapping.pk for mapping in group}) for group in groups], known, lost)


def _belong_together(
    former: HandlerMapping, mapping: HandlerMapping, known: Mapping[int, int]
) -> bool:
    shared_a_lane = mapping.pk in known and known[mapping.pk] == known.get(former.pk)
    return mapping.pk == former.pk or shared_a_lane or _target(mapping) == _target(former)


def _target(mapping: HandlerMapping) -> tuple[_Place, str]:
    return _place(mapping), _identity(mapping)


def _numbered(
    groups: Iterable[list[int]], known: Mapping[int, int], lost: Collection[int]
) -> dict[int, int]:
    """Return the number of each mapping's lane: the lowest that a mapping of the lane has already,
    preferably one that is not `lost`, or the lowest id of its mappings, unless another lane has or
    had that number.

    Then a multiple of `_BEYOND_IDS` is added to an id. As the chains of all listeners are named
    alike, the number must not be the id of another listener's mapping, nor of a future one.
    """
    lane_of: dict[int, int] = {}
    given: set[int] = set()
    unusable = {*known.values()}
    for ids in sorted(groups):
        had = {known[pk] for pk in ids if pk in known} - given
        had = {known[pk] for pk in ids if pk in known and pk not in lost} & had or had
        own = (pk + times * _BEYOND_IDS for times in count() for pk in ids)
        number = min(had) if had else next(number for number in own if number not in unusable)
        lane_of |= dict.fromkeys(ids, number)
        given.add(number)
        unusable.add(number)
    return lane_of


def with_target(mapping: HandlerMapping, name: str, *, is_external: bool) -> HandlerMapping:
    """Return a copy of a mapping that names this handler, or this tracked task."""
    former = copy(mapping)
    former.handler, former.task = ("", name) if is_external else (name, "")
    former.track = True
    return former


def views(mappings: Collection[HandlerMapping]) -> dict[int, frozenset[int]]:
    """Return for each mapping id the ids of the mappings that share its view of a record.

    These are the mapping itself, the mappings of its lane, and those that would be in its lane if
    all mappings kept the order.
    """
    lane_of = lanes(mappings)
    view_of: dict[int, set[int]] = {
        pk: {other for other, its_lane in lane_of.items() if its_lane == lane}
        for pk, lane in lane_of.items()
    }
    for kind in ("handler", "task"):
        for group in _by_target(mapping for mapping in mappings if getattr(mapping, kind)):
            ids = {mapping.pk for mapping in group}
            for pk in ids:
                view_of[pk] = view_of.get(pk, set()) | ids
    return {pk: frozenset(ids) for pk, ids in view_of.items()}


def overtakable_mappings(mappings: Collection[HandlerMapping]) -> frozenset[int]:
    """Return the ordered mappings that share a view with mappings outside their lane.

    Deliveries of those other mappings may overtake theirs.
    """
    if all(mapping.ordering == "per_record" for mapping in mappings if mapping.has_outcomes):
        return frozenset()
    lane_of = lanes(mappings)
    view_of = views(mappings)
    return frozenset(
        pk
        for pk, lane in lane_of.items()
        if any(lane_of.get(other) != lane for other in view_of[pk])
    )


def _by_target(mappings: Iterable[HandlerMapping]) -> list[list[HandlerMapping]]:
    """Group mappings by handler or task, and merge groups of one place that never get the same
    change."""
    by_place: dict[_Place, dict[str, list[HandlerMapping]]] = {}
    for mapping in sorted(mappings, key=lambda mapping: mapping.pk):
        group = by_place.setdefault(_place(mapping), {})
        group.setdefault(_identity(mapping), []).append(mapping)
    return [lane for groups in by_place.values() for lane in _merged(groups.values())]


def _identity(mapping: HandlerMapping) -> str:
    name = mapping.handler or mapping.task
    return f"{name} {json.dumps(mapping.options, sort_keys=True)}"


def _place(mapping: HandlerMapping) -> _Place:
    is_task = bool(mapping.task)
    return mapping.is_of_mirror, is_task, mapping.destination_id if is_task else None


def _merged(groups: Iterable[list[HandlerMapping]]) -> list[list[HandlerMapping]]:
    merged: list[list[HandlerMapping]] = []
    for group in groups:
        for lane in merged:
            if not any(_can_meet(mapping, other) for mapping in group for other in lane):
                lane.extend(group)
                break
        else:
            merged.append(list(group))
    return merged


def _can_meet(mapping: HandlerMapping, other: HandlerMapping) -> bool:
    """Return whether both mappings can get the same change."""
    entities = (mapping.entity, other.entity)
    return mapping.on == other.on and (mapping.entity == other.entity or "*" in entities)


def _is_of_one_record(change: AuditLogEntry) -> bool:
    return not change.record_id.endswith("*")


def _concerns(change: AuditLogEntry, mapping: HandlerMapping) -> bool:
    """Return whether one of the mapping's `changed_fields`, if it has any, changed.

    `Name` and `Name.FirstName` count as the same field.
    """
    if not mapping.changed_fields:
        return True
    # CometD may omit the list; then the body holds only the changed fields.
    changed = change.changed_data if change.changed_fields is None else change.changed_fields
    return any(overlap(field, name) for field in changed for name in mapping.changed_fields)
