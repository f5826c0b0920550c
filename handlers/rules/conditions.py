"""Validation and evaluation of a mapping's condition on field values. Pure.

A leaf compares one field: `{"field": "StageName", "changed_to": "Closed Won"}`. `{"all": […]}` and
`{"any": […]}` combine leaves and other groups; `{}` is no condition.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Protocol

from handlers.rules.field_paths import ABSENT, overlap, value_at
from listeners.values import is_storable_text

EXAMPLE = '{"field": "StageName", "equals": "Closed Won"}'
#: The maximum nesting depth of `all` and `any`.
MAX_DEPTH = 10

_GROUPS = ("all", "any")
_TESTS = ("equals", "in", "exists", "changed_to")
_KEYS = (*_GROUPS, "field", *_TESTS)
_PATH = re.compile(r"\w+(\.\w+)*", re.ASCII)


class Change(Protocol):
    change_type: str
    changed_fields: list[str] | None
    changed_data: dict[str, object]


def matches(condition: Mapping[str, Any], change: Change) -> bool:
    """Return whether a change meets a condition. Never raises: an invalid condition is not met."""
    return not condition or _holds(condition, change)


def _holds(condition: Any, change: Change) -> bool:
    match condition:
        case {"all": list(parts)}:
            return all(_holds(part, change) for part in parts)
        case {"any": list(parts)}:
            return any(_holds(part, change) for part in parts)
        case {"field": str(path)}:
            return _meets(condition, path, change)
    return False


def _meets(leaf: Mapping[str, Any], path: str, change: Change) -> bool:
    value = value_at(change.changed_data, path)
    match leaf:
        case {"equals": wanted}:
            return _same(value, wanted)
        case {"in": list(wanted)}:
            return any(_same(value, option) for option in wanted)
        case {"exists": bool(wanted)}:
            return (value is not ABSENT and value is not None) == wanted
        case {"changed_to": wanted}:
            return _same(value, wanted) and _changed(change, path)
    return False


def _same(value: object, wanted: object) -> bool:
    """Return whether two values are equal in JSON: 1 equals 1.0, but neither true nor "1"."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return value == wanted


def _changed(change: Change, path: str) -> bool:
    """Return whether this change set a field of its body.

    A create and a restore set all fields of the body; so does an update without `changed_fields`.
    """
    if change.change_type != "UPDATE" or change.changed_fields is None:
        return True
    return any(overlap(name, path) for name in change.changed_fields)


def fields(condition: Any) -> Iterator[str]:
    """Yield the fields that a valid condition compares."""
    match condition:
        case {"all": list(parts)} | {"any": list(parts)}:
            for part in parts:
                yield from fields(part)
        case {"field": str(path)}:
            yield path


def flaws(condition: Any) -> list[str]:
    """Return all errors in a condition, each with its place; empty if it is valid."""
    return [] if condition == {} else list(_flaws(condition, "condition", 0))


def _flaws(node: Any, at: str, depth: int) -> Iterator[str]:
    if not isinstance(node, dict) or not node:
        yield f"{at}: give an object such as {EXAMPLE}."
        return
    unknown = [key for key in node if key not in _KEYS]
    groups = [key for key in _GROUPS if key in node]
    if unknown:
        yield from (f"{at}: {_unknown(key)}" for key in unknown)
    elif not groups:
        yield from _leaf_flaws(node, at)
    elif len(node) > 1:
        others = _quoted([key for key in node if key != groups[0]], "and")
        yield f'{at}: "{groups[0]}" stands alone; put {others} into it.'
    elif depth >= MAX_DEPTH:
        yield f"{at}: nested deeper than {MAX_DEPTH} levels."
    else:
        yield from _group_flaws(node[groups[0]], f"{at}.{groups[0]}", depth)


def _group_flaws(parts: Any, at: str, depth: int) -> Iterator[str]:
    if not isinstance(parts, list) or not parts:
        yield f"{at}: give a list of conditions, at least one."
        return
    for index, part in enumerate(parts):
        yield from _flaws(part, f"{at}[{index}]", depth + 1)


def _leaf_flaws(leaf: dict[str, Any], at: str) -> Iterator[str]:
    tests = [test for test in _TESTS if test in leaf]
    if not tests:
        yield f'{at}: "field" needs {_quoted(_TESTS, "or")}.'
        return
    if len(tests) > 1:
        yield f'{at}: give one of {_quoted(tests, "and")}; combine two conditions with "all".'
    if "field" not in leaf:
        yield f'{at}: "{tests[0]}" needs "field".'
    elif not isinstance(leaf["field"], str) or not _PATH.fullmatch(leaf["field"]):
        yield f'{at}.field: give the name of a field, such as "Phone" or "BillingAddress.City".'
    for test in tests:
        yield from _value_flaws(test, leaf[test], f"{at}.{test}")


def _value_flaws(test: str, value: Any, at: str) -> Iterator[str]:
    if test == "exists":
        if not isinstance(value, bool):
            yield f"{at}: give true or false."
    elif test != "in":
        yield from _plain_flaws(value, at)
    elif not isinstance(value, list) or not value:
        yield f"{at}: give a list of values, at least one."
    else:
        for index, item in enumerate(value):
            yield from _plain_flaws(item, f"{at}[{index}]")


def _plain_flaws(value: Any, at: str) -> Iterator[str]:
    """Refuse objects and lists: an update brings only the changed parts of a compound field, so a
    whole object would never match."""
    match value:
        case dict() | list():
            yield f"{at}: give one value; for a part of a compound field, name it in the field."
        case float() if not math.isfinite(value):
            yield f"{at}: give a finite number."
        case str() if not is_storable_text(value):
            yield f"{at}: a NUL or half a surrogate pair is not valid text; remove it."


def _unknown(key: object) -> str:
    close = get_close_matches(str(key), _KEYS, n=1)
    hint = f'did you mean "{close[0]}"?' if close else f"use {_quoted(_KEYS, 'or')}."
    return f'"{key}" is not known; {hint}'


def _quoted(words: list[str] | tuple[str, ...], conjunction: str) -> str:
    *first, last = [f'"{word}"' for word in words]
    return f"{', '.join(first)} {conjunction} {last}" if first else last
