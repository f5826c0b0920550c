"""The fields of a change and their previously recorded values, masked for the reader.

Only `earlier` reads the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from audit.log.masking import MASKED, Sight
from audit.models import AuditLogEntry
from listeners.salesforce.diffs import diff_names

#: Earlier changes of a record that are searched for previous values.
LOOK_BACK = 200


@dataclass(frozen=True)
class Known:
    """The last recorded value of a field, and the entry that recorded it.

    `is_told` is false if that entry says that the field changed, but not to which value.
    """

    value: Any
    entry_id: int
    is_told: bool = True


@dataclass(frozen=True)
class Change:
    """A field, or a part of a compound field such as `Name.FirstName`.

    `before` is None if no previous value was recorded; `is_told` is false if the event sent no
    value.
    """

    name: str
    value: Any = None
    before: Known | None = None
    is_told: bool = True
    is_diff: bool = False


def earlier(entry: AuditLogEntry) -> list[AuditLogEntry]:
    """Return the listener's earlier entries of the record, newest first; one query."""
    before = AuditLogEntry.objects.filter(
        record_id=entry.record_id, listener_id=entry.listener_id, id__lt=entry.pk
    )
    names = ("entity_name", "change_type", "source", "changed_fields", "diff_fields")
    found = list(before.order_by("-id").only("listener_id", *names, "changed_data")[:LOOK_BACK])
    for other in found:
        other.listener = entry.listener
    return found


def changes(
    entry: AuditLogEntry, before: Iterable[AuditLogEntry] = (), see: Sight = MASKED
) -> list[Change]:
    """Return the fields that the entry carries, then those it only names; `before` newest first."""
    past = [_Past.of(other, see) for other in before]
    diffs = _diffs_of(entry)
    carried = dict(_flat(_with_texts(see.data(entry), diffs)))
    found = [
        Change(part, value, _known(part, past), is_diff=name in diffs)
        for name, value in carried.items()
        for part in _parts(name, value, past)
    ]
    found += [
        Change(name, None, _known(name, past), is_told=False)
        for name in entry.changed_fields or ()
        if not any(part == name or part.startswith(f"{name}.") for part in carried)
    ]
    return found


@dataclass(frozen=True)
class _Past:
    entry: AuditLogEntry
    data: dict[str, Any]
    diffs: tuple[str, ...]

    @classmethod
    def of(cls, entry: AuditLogEntry, see: Sight) -> _Past:
        diffs = _diffs_of(entry)
        return cls(entry, _with_texts(see.data(entry), diffs), diffs)


def _diffs_of(entry: AuditLogEntry) -> tuple[str, ...]:
    """Return the fields sent as diffs; a masked value would not show that."""
    return diff_names(entry.changed_data, entry.diff_fields)


def _with_texts(data: Mapping[str, Any], diffs: Iterable[str]) -> dict[str, Any]:
    """Return the data with each `{"diff": text}` replaced by its text.

    Otherwise it would look like a compound field.
    """
    result = dict(data)
    for name in diffs:
        field, _, part = name.partition(".")
        value = result.get(field)
        if part and isinstance(value, Mapping):
            result[field] = {**value, part: _text(value.get(part))}
        elif field in result:
            result[field] = _text(value)
    return result


def _text(value: Any) -> Any:
    return value["diff"] if isinstance(value, Mapping) and value.keys() == {"diff"} else value


def _known(name: str, past: list[_Past]) -> Known | None:
    """Return the last recorded value of a field."""
    for previous in past:
        entry = previous.entry
        is_carried, value = _value_in(name, previous.data)
        if is_carried:
            return Known(value, entry.pk, is_told=not _is_named(name, previous.diffs))
        if _is_untold(name, previous):
            return Known(None, entry.pk, is_told=False)
        if entry.change_type == "CREATE" and entry.source == AuditLogEntry.Source.STREAM:
            return Known(None, entry.pk)  # a create carries every field that has a value
    return None


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _parts(name: str, value: Any, past: list[_Past]) -> list[str]:
    """Return the parts that a cleared compound field had, or the name alone."""
    if value is not None:
        return [name]
    parts: dict[str, None] = {}
    for previous in past:
        is_carried, before = _value_in(name, previous.data)
        if is_carried and before is None:
            break
        if isinstance(before, Mapping):
            parts |= dict.fromkeys(part for part, _ in _flat(before, f"{name}."))
    return list(parts) or [name]


def _value_in(name: str, data: Any) -> tuple[bool, Any]:
    """Return whether the data carries the field, and its value.

    A compound field that is null carries null for each of its parts.
    """
    for step in name.split("."):
        if not isinstance(data, Mapping) or step not in data:
            return False, None
        data = data[step]
        if data is None:
            return True, None
    return True, data


def _is_untold(name: str, past: _Past) -> bool:
    """Return whether the entry names the field as changed without sending its value."""
    named = [field for field in past.entry.changed_fields or () if _is_named(name, [field])]
    return any(not _value_in(field, past.data)[0] for field in named)


def _is_named(name: str, names: Iterable[str]) -> bool:
    """Return whether the names contain the field, or the compound field that it is part of."""
    return any(name == other or name.startswith(f"{other}.") for other in names)
