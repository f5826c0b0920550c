"""What the fields of a change are after later changes of its record. Pure.

A `Part` is a record, or a compound field of it, as far as later changes tell: the values of the
fields that they name, and what is known of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from handlers.routing.field_paths import ABSENT
from handlers.sdk.events import Present
from listeners.salesforce.diffs import is_diff


class _Untold(Enum):
    UNTOLD = "untold"


#: The value of a field that was changed, and the event did not say to what.
UNTOLD: Final = _Untold.UNTOLD


class Others(Enum):
    """What is known of the fields that no later change names."""

    KEPT = "kept"
    NULL = "null"
    UNTOLD = "untold"


@dataclass(slots=True)
class Part:
    named: dict[str, Any] = field(default_factory=dict)
    others: Others = Others.KEPT

    @classmethod
    def whole(cls, body: Mapping[str, Any]) -> Part:
        """Of a body that has every field with a value."""
        part = cls(others=Others.NULL)
        part.update(body)
        return part

    @property
    def is_untouched(self) -> bool:
        return not self.named and self.others is Others.KEPT

    def update(self, body: Mapping[str, Any]) -> None:
        """Apply an update's body; of compound fields it has the parts that changed."""
        for name, value in body.items():
            if is_diff(value):
                self.named[name] = UNTOLD
            elif isinstance(value, Mapping) and value:
                self._part(name).update(value)
            else:
                self.named[name] = value

    def put(self, path: str, value: Any) -> None:
        """Set a field, or a part of a compound one: `Name.FirstName`."""
        name, _, rest = path.partition(".")
        if rest:
            self._part(name).put(rest, value)
        else:
            self.named[name] = value

    def fill(self, record: Mapping[str, Any], *, is_record: bool = True) -> None:
        """Take from the record, as it was read, what is untold. A field that may not be read stays
        as it was."""
        for name, value in list(self.named.items()):
            if isinstance(value, Part):
                inner = record.get(name)
                value.fill(inner if isinstance(inner, Mapping) else {}, is_record=False)
            elif value is UNTOLD and (name in record or not is_record):
                self.named[name] = _value(record.get(name))
            elif value is UNTOLD:
                del self.named[name]
        if self.others is Others.UNTOLD:
            self.named = {name: _value(value) for name, value in record.items()} | self.named
            self.others = Others.KEPT if is_record else Others.NULL

    def _part(self, name: str) -> Part:
        """A compound field of it. Of one that was null, every part is."""
        found = self.named.get(name, ABSENT)
        if isinstance(found, Part):
            return found
        if found is ABSENT:
            others = self.others
        else:
            others = Others.UNTOLD if found is UNTOLD else Others.NULL
        part = self.named[name] = Part(others=others)
        return part


def has_untold(own: Mapping[str, Any], later: Part, *, is_whole: bool) -> bool:
    """Whether the log does not tell what a field of a change is now. `is_whole`: it has every field
    with a value, so that the others count too."""
    return any(value is UNTOLD for _, value in _leaves(_merged(own, later, is_whole=is_whole))) or (
        is_whole and later.others is Others.UNTOLD
    )


def present(own: Mapping[str, Any], later: Part, *, is_whole: bool) -> Present:
    """The fields of a change with their values now. One that `is_whole` has every field: those that
    later changes gave a value are added."""
    data = _merged(own, later, is_whole=is_whole)
    before = dict(_leaves(own))
    superseded = (path for path, now in _leaves(data) if path not in before or before[path] != now)
    return Present(data, tuple(sorted(superseded)))


def differing(body: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """A body with UNTOLD for each field that has another value in the other one."""
    found: dict[str, Any] = {}
    for name, value in body.items():
        there = other.get(name)
        if isinstance(value, Mapping) and value and not is_diff(value):
            found[name] = differing(value, there if isinstance(there, Mapping) else {})
        else:
            found[name] = value if value == there else UNTOLD
    return found


def _merged(own: Mapping[str, Any], later: Part, *, is_whole: bool) -> dict[str, Any]:
    merged = {
        name: _now(value, *_said(name, later), is_whole=is_whole) for name, value in own.items()
    }
    if is_whole:
        added = {name: _plain(value) for name, value in later.named.items() if name not in own}
        merged |= {name: value for name, value in added.items() if value not in (None, {})}
    return merged


def _said(name: str, later: Part) -> tuple[Any, Others]:
    """The value that is told of a field, or ABSENT; and what holds if none is."""
    return later.named.get(name, ABSENT), later.others


def _now(own: Any, told: Any, others: Others, *, is_whole: bool) -> Any:
    """A field's value now."""
    if told is ABSENT:
        if others is Others.KEPT:
            return own
        told = None if others is Others.NULL else UNTOLD
    is_compound = isinstance(own, Mapping) and bool(own) and not is_diff(own)
    if isinstance(told, Part):
        return _merged(own, told, is_whole=is_whole) if is_compound else _plain(told)
    if is_compound and (told is None or told is UNTOLD):
        return {name: _now(value, told, others, is_whole=is_whole) for name, value in own.items()}
    return told


def _plain(value: Any) -> Any:
    """Of a compound field that had no part before: those that have a value."""
    if not isinstance(value, Part):
        return value
    if value.others is Others.UNTOLD:
        return UNTOLD
    parts = {name: _plain(part) for name, part in value.named.items()}
    return {name: part for name, part in parts.items() if part is not None} or None


def _value(value: Any) -> Any:
    if isinstance(value, Mapping) and value:
        return Part.whole(value)
    return value


def _leaves(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping) and value and not is_diff(value):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
