"""Paths of fields in change events: `Name.FirstName` is a part of the compound field `Name`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, Literal


class Absent(Enum):
    """The value of a field that was not sent, as distinct from null."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


def value_at(data: Mapping[str, object], path: str) -> object | Literal[Absent.ABSENT]:
    """Return the value of a field or of a part of a compound field.

    A part of a compound field that is null is null too.
    """
    value: object = data
    for name in path.split("."):
        if value is None:
            return None
        if not isinstance(value, Mapping) or name not in value:
            return ABSENT
        value = value[name]
    return value


def overlaid(data: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data with later data laid over it; compound fields are merged part by part."""
    result = dict(data)
    for name, value in later.items():
        before = result.get(name)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            result[name] = overlaid(before, value)
        else:
            result[name] = value
    return result


def overlap(path: str, other: str) -> bool:
    """Return whether the paths are the same field, or one is a part of the other."""
    return path == other or path.startswith(f"{other}.") or other.startswith(f"{path}.")
