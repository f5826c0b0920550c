"""Which mappings a change goes to. Pure: nothing here reads the database or the clock."""

from collections.abc import Collection, Iterable
from typing import Protocol, TypeVar

#: The change types that have handlers, and the mappings' word for them.
ON = {"CREATE": "create", "UPDATE": "update", "DELETE": "delete", "UNDELETE": "restore"}


class _Mapping(Protocol):
    on: str
    entity: str
    handler: str
    task: str
    changed_fields: list[str]


M = TypeVar("M", bound=_Mapping)


class Routable(Protocol):
    entity_name: str
    record_id: str
    change_type: str
    changed_fields: list[str] | None
    changed_data: dict[str, object]


def route(change: Routable, mappings: Iterable[M]) -> list[M]:
    """The mappings that get this change.

    Gap events, overflows, wildcards and unknown types go to none: they say that something
    happened and not what.
    """
    on = ON.get(change.change_type)
    if on is None or change.record_id.endswith("*"):
        return []
    return [
        mapping
        for mapping in mappings
        if mapping.on == on
        and mapping.entity in ("*", change.entity_name)
        and (mapping.handler or mapping.task)
        and (not mapping.changed_fields or _touches(change, mapping.changed_fields))
    ]


def _touches(change: Routable, wanted: Collection[str]) -> bool:
    """Whether a wanted field changed. `Name` holds `Name.FirstName`: either touches the other."""
    # CometD may leave the list out: then its body holds the changed fields and nothing else.
    changed = change.changed_data if change.changed_fields is None else change.changed_fields
    return any(_overlap(field, name) for field in changed for name in wanted)


def _overlap(field: str, name: str) -> bool:
    return field == name or field.startswith(f"{name}.") or name.startswith(f"{field}.")
