"""Deltas: the changed fields of a record, with the children of compound fields."""

import difflib
from collections.abc import Collection, Iterator
from hashlib import sha256

from simulator.org.records import JsonObject


def changed(current: JsonObject, wanted: JsonObject) -> JsonObject:
    """Return the part of `wanted` that differs from `current`; None stands for a cleared field."""
    delta: JsonObject = {}
    for name, value in wanted.items():
        before = current.get(name)
        if isinstance(value, dict):
            base = before if isinstance(before, dict) else {}
            children = {child: new for child, new in value.items() if base.get(child) != new}
            if children:
                delta[name] = children
        elif before != value:
            delta[name] = value
    return delta


def combined(first: JsonObject, second: JsonObject) -> JsonObject:
    """Merge two deltas of one record; the second wins."""
    result = dict(first)
    for name, value in second.items():
        before = result.get(name)
        both = isinstance(value, dict) and isinstance(before, dict)
        result[name] = {**before, **value} if both and before is not None else value
    return result


def non_empty(fields: JsonObject) -> JsonObject:
    """Return the delta without nulls, also inside compound fields."""
    result: JsonObject = {}
    for name, value in fields.items():
        kept = non_empty(value) if isinstance(value, dict) else value
        if kept is not None and kept != {}:
            result[name] = kept
    return result


def names(delta: JsonObject) -> list[str]:
    """Return the names for changedFields; children as `Name.FirstName`."""
    return [name for name, _ in _flat(delta)]


def nulled(delta: JsonObject) -> list[str]:
    """Return the names for nulledFields."""
    return [name for name, value in _flat(delta) if value is None]


def _flat(delta: JsonObject) -> Iterator[tuple[str, object]]:
    for name, value in delta.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{child}", new) for child, new in value.items())
        else:
            yield name, value


def unified_diff(before: str, after: str) -> JsonObject:
    """Return the diff of a large text; its first two lines have the digests of both texts."""
    lines = difflib.unified_diff(
        before.split("\n"), after.split("\n"), _digest(before), _digest(after), lineterm=""
    )
    return {"diff": "\n".join(lines)}


def _digest(text: str) -> str:
    return sha256(text.encode(errors="surrogatepass")).hexdigest()


def divided(delta: JsonObject, names: Collection[str]) -> tuple[JsonObject, JsonObject]:
    """Split a delta into the part without these fields and the part with them."""
    own = {name: value for name, value in delta.items() if name in names}
    return {name: value for name, value in delta.items() if name not in names}, own
