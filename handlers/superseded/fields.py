"""Compute the current values of a change's fields from later changes of its record. Pure.

A `Part` is what later changes say about a record, or about one of its compound fields: the values
of the fields they name, and what is known about the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from handlers.rules.field_paths import ABSENT
from handlers.sdk.events import Present
from listeners.salesforce.diffs import is_diff


class _Unknown(Enum):
    UNKNOWN = "unknown"


#: The value of a field that an event reports as changed, without its new value.
UNKNOWN: Final = _Unknown.UNKNOWN


class Others(Enum):
    """How much is known about the fields that no later change names."""

    KEPT = "kept"
    NULL = "null"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Part:
    named: dict[str, Any] = field(default_factory=dict)
    others: Others = Others.KEPT

    @classmethod
    def whole(cls, body: Mapping[str, Any]) -> Part:
        """Return the part for a body that has every field with a value."""
        part = cls(others=Others.NULL)
        part.update(body)
        return part

    @property
    def is_untouched(self) -> bool:
        return not self.named and self.others is Others.KEPT

    def update(self, body: Mapping[str, Any]) -> None:
        """Apply the body of an update; its compound fields have only the parts that changed."""
        for name, value in body.items():
            if is_diff(value):
                self.named[name] = UNKNOWN
            elif isinstance(value, Mapping) and value:
                self._part(name).update(value)
            else:
                self.named[name] = value

    def put(self, path: str, value: Any) -> None:
        """Set the field at a dotted path, such as `Name.FirstName`."""
        name, _, rest = path.partition(".")
        if rest:
            self._part(name).put(rest, value)
        else:
            self.named[name] = value

    def fill(self, record: Mapping[str, Any], *, is_record: bool = True) -> None:
        """Fill in unknown values from the record as read over REST.

        A field that the user may not read keeps its value.
        """
        for name, value in list(self.named.items()):
            if isinstance(value, Part):
                inner = record.get(name)
                value.fill(inner if isinstance(inner, Mapping) else {}, is_record=False)
            elif value is UNKNOWN and (name in record or not is_record):
                self.named[name] = _value(record.get(name))
            elif value is UNKNOWN:
                del self.named[name]
        if self.others is Others.UNKNOWN:
            self.named = {name: _value(value) for name, value in record.items()} | self.named
            self.others = Others.KEPT if is_record else Others.NULL

    def _part(self, name: str) -> Part:
        """Return a compound field. When it was null, all its parts are null."""
        found = self.named.get(name, ABSENT)
        if isinstance(found, Part):
            return found
        if found is ABSENT:
            others = self.others
        else:
            others = Others.UNKNOWN if found is UNKNOWN else Others.NULL
        part = self.named[name] = Part(others=others)
        return part


def has_unknown(own: Mapping[str, Any], later: Part, *, is_whole: bool) -> bool:
    """Return whether the audit log lacks the current value of a field of a change.

    A change that `is_whole` has every field with a value, so that unnamed fields count too.
    """
    return any(
        value is UNKNOWN for _, value in _leaves(_merged(own, later, is_whole=is_whole))
    ) or (is_whole and later.others is Others.UNKNOWN)


def present(own: Mapping[str, Any], later: Part, *, is_whole: bool) -> Present:
    """Return the fields of a change with their current values.

    To a change that `is_whole`, the fields that later changes gave a value are added.
    """
    data = _merged(own, later, is_whole=is_whole)
    before = dict(_leaves(own))
    superseded = (path for path, now in _leaves(data) if path not in before or before[path] != now)
    return Present(data, tuple(sorted(superseded)))


def differing(body: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body with UNKNOWN for each field that has a different value in `other`."""
    found: dict[str, Any] = {}
    for name, value in body.items():
        theirs = other.get(name)
        if isinstance(value, Mapping) and value and not is_diff(value):
            found[name] = differing(value, theirs if isinstance(theirs, Mapping) else {})
        else:
            found[name] = value if value == theirs else UNKNOWN
    return found


def _merged(own: Mapping[str, Any], later: Part, *, is_whole: bool) -> dict[str, Any]:
    merged = {
        name: _current(value, later.named.get(name, ABSENT), later.others, is_whole=is_whole)
        for name, value in own.items()
    }
    if is_whole:
        added = {name: _plain(value) for name, value in later.named.items() if name not in own}
        merged |= {name: value for name, value in added.items() if value not in (None, {})}
    return merged


def _current(own: Any, later: Any, others: Others, *, is_whole: bool) -> Any:
    """Return a field's current value: its own, or the one of later changes.

    `others` says what holds when they do not name the field, and `later` is ABSENT.
    """
    if later is ABSENT:
        if others is Others.KEPT:
            return own
        later = None if others is Others.NULL else UNKNOWN
    is_compound = isinstance(own, Mapping) and bool(own) and not is_diff(own)
    if isinstance(later, Part):
        return _merged(own, later, is_whole=is_whole) if is_compound else _plain(later)
    if is_compound and (later is None or later is UNKNOWN):
        return {
            name: _current(value, later, others, is_whole=is_whole) for name, value in own.items()
        }
    return later


def _plain(value: Any) -> Any:
    """Return a value, of a compound field the parts that have a value."""
    if not isinstance(value, Part):
        return value
    if value.others is Others.UNKNOWN:
        return UNKNOWN
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
