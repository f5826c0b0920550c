"""Field names as change events write them: `Name.FirstName` is a part of the compound `Name`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, Literal


class Absent(Enum):
    """What a field that was not sent has for a value: null is one of its own."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


def value_at(data: Mapping[str, object], path: str) -> object | Literal[Absent.ABSENT]:
    """The value of a field or of a part of a compound field. A compound that is null was cleared,
    and its parts with it."""
    value: object = data
    for name in path.split("."):
        if value is None:
            return None
        if not isinstance(value, Mapping) or name not in value:
            return ABSENT
        value = value[name]
    return value


def overlaid(data: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data with what came later on top; of compound fields, part by part."""
    result = dict(data)
    for name, value in later.items():
        before = result.get(name)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            result[name] = overlaid(before, value)
        else:
            result[name] = value
    return result


def overlap(one: str, other: str) -> bool:
    """Whether they are the same field, or one is a part of the other."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")
