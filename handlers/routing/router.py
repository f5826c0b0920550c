"""Which mappings a change goes to. Pure: nothing here reads the database or the clock."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from handlers.routing.conditions import Change, matches
from handlers.routing.field_paths import overlap
from handlers.routing.ignored_authors import left_out

#: The change types that have handlers, and the mappings' word for them.
ON = {"CREATE": "create", "UPDATE": "update", "DELETE": "delete", "UNDELETE": "restore"}
#: The same for gap events, which say that a record changed and not how.
GAPS = {f"GAP_{change_type}": on for change_type, on in ON.items()}


class _Mapping(Protocol):
    pk: int
    on: str
    entity: str
    handler: str
    task: str
    changed_fields: list[str]
    condition: dict[str, Any]
    ignore_origins: list[str]
    ignore_users: list[str]
    ordering: str
    options: dict[str, Any]


M = TypeVar("M", bound=_Mapping)


class Routable(Protocol):
    entity_name: str
    record_id: str
    change_type: str
    change_origin: str
    commit_user: str
    changed_fields: list[str] | None
    changed_data: dict[str, object]


@dataclass(frozen=True, slots=True)
class Routed(Generic[M]):
    """A mapping that gets a change, or would get it: `skipped` says why it does not."""

    mapping: M
    skipped: str = ""


def route(change: Routable, mappings: Iterable[M], save: Change | None = None) -> list[Routed[M]]:
    """The mappings that get this change, and those that leave it out for who wrote it.

    `save`: what the change's whole save brought, where that came as several changes; conditions
    are judged by it, and everything else by the change. Gap events, overflows, wildcards and
    unknown types go to none: they say that something happened and not what.
    """
    return [
        routed
        for routed in _of_kind(ON.get(change.change_type), change, mappings)
        if _concerns(change, routed.mapping) and matches(routed.mapping.condition, save or change)
    ]


def route_with_gaps(
    change: Routable, mappings: Iterable[M], save: Change | None = None
) -> list[Routed[M]]:
    """The same, and for a gap event the mappings that may get what it stands for: fields and
    conditions, which nobody can judge without data, count as met."""
    on = GAPS.get(change.change_type)
    return _of_kind(on, change, mappings) if on else route(change, mappings, save)


class Miss(StrEnum):
    """What keeps a change from a mapping."""

    KIND = "another kind of change"
    GAP = "a gap event"
    ENTITY = "another entity"
    FIELDS = "none of the fields was changed"
    CONDITION = "the condition is not met"


def miss(change: Routable, mapping: _Mapping, save: Change | None = None) -> Miss | None:
    """Why `route` does not name a mapping that has a handler or a task; None where it does."""
    on = ON.get(change.change_type)
    if on != mapping.on or not _is_of_one_record(change):
        return Miss.GAP if route_with_gaps(change, [mapping]) else Miss.KIND
    if not _of_kind(on, change, [mapping]):
        return Miss.ENTITY
    if not _concerns(change, mapping):
        return Miss.FIELDS
    return None if matches(mapping.condition, save or change) else Miss.CONDITION


def _of_kind(on: str | None, change: Routable, mappings: Iterable[M]) -> list[Routed[M]]:
    if on is None or not _is_of_one_record(change):
        return []
    return [
        Routed(mapping, left_out(change, mapping.ignore_origins, mapping.ignore_users))
        for mapping in mappings
        if mapping.on == on
        and mapping.entity in ("*", change.entity_name)
        and (mapping.handler or mapping.task)
    ]


def lanes(mappings: Iterable[M]) -> dict[int, int]:
    """For each mapping that keeps a record's order, the lane its deliveries queue up in.

    Mappings to the same handler share a lane, and so do handlers that never get the same change:
    a record's update waits for its create, whether one function handles both or two do. Handlers
    of the same change are in lanes of their own: one that fails holds up no other.
    """
    ordered = (one for one in mappings if one.handler and one.ordering == "per_record")
    return {mapping.pk: group[0].pk for group in _of_one_target(ordered) for mapping in group}


def views(mappings: Collection[M]) -> dict[int, frozenset[int]]:
    """For each mapping, itself and those that show the same target a record's changes, by id: those
    of its lane, and those that would be in it if all of them kept the order."""
    lane_of = lanes(mappings)
    found: dict[int, set[int]] = {
        pk: {other for other, its in lane_of.items() if its == lane} for pk, lane in lane_of.items()
    }
    for kind in ("handler", "task"):
        for group in _of_one_target(one for one in mappings if getattr(one, kind)):
            ids = {mapping.pk for mapping in group}
            for pk in ids:
                found[pk] = found.get(pk, set()) | ids
    return {pk: frozenset(ids) for pk, ids in found.items()}


def beside_lanes(mappings: Collection[M]) -> frozenset[int]:
    """The mappings that keep a record's order, and share a view with some outside of their lane:
    those may overtake them."""
    if all(mapping.ordering == "per_record" for mapping in mappings if mapping.handler):
        return frozenset()
    lane_of = lanes(mappings)
    view_of = views(mappings)
    return frozenset(
        pk
        for pk, lane in lane_of.items()
        if any(lane_of.get(other) != lane for other in view_of[pk])
    )


def _of_one_target(mappings: Iterable[M]) -> list[list[M]]:
    """Mappings grouped by handler or task, and with others that never get the same change."""
    by_handler: dict[str, list[M]] = {}
    for mapping in sorted(mappings, key=lambda mapping: mapping.pk):
        name = mapping.handler or mapping.task
        identity = f"{name} {json.dumps(mapping.options, sort_keys=True)}"
        by_handler.setdefault(identity, []).append(mapping)
    merged: list[list[M]] = []
    for group in by_handler.values():
        for lane in merged:
            if not any(_meet(one, other) for one in group for other in lane):
                lane.extend(group)
                break
        else:
            merged.append(list(group))
    return merged


def _meet(one: M, other: M) -> bool:
    """Whether both can get the same change."""
    return one.on == other.on and (one.entity == other.entity or "*" in (one.entity, other.entity))


def _is_of_one_record(change: Routable) -> bool:
    return not change.record_id.endswith("*")


def _concerns(change: Routable, mapping: _Mapping) -> bool:
    """Whether it changed one of the mapping's fields, where it names any."""
    return not mapping.changed_fields or _touches(change, mapping.changed_fields)


def _touches(change: Routable, wanted: Collection[str]) -> bool:
    """Whether a wanted field changed. `Name` holds `Name.FirstName`: either touches the other."""
    # CometD may leave the list out: then its body holds the changed fields and nothing else.
    changed = change.changed_data if change.changed_fields is None else change.changed_fields
    return any(overlap(field, name) for field in changed for name in wanted)
