"""Field by field: what a change carries, and what was recorded of it before, as its reader may see
it. Pure, but for `earlier`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from audit.log.masking import MASKED, Sight
from audit.models import AuditLogEntry
from listeners.salesforce.diffs import diff_names

#: How many earlier changes of a record are looked through.
LOOK_BACK = 200


@dataclass(frozen=True)
class Known:
    """The last recorded value of a field, and the entry that told it.

    `is_told` is false where that entry says that the field changed, and not to what.
    """

    value: Any
    entry_id: int
    is_told: bool = True


@dataclass(frozen=True)
class Change:
    """A field, or a part of a compound field: `Name.FirstName`. `before` is None where nothing was
    recorded of it; `is_told` is false where the event sent no value."""

    name: str
    value: Any = None
    before: Known | None = None
    is_told: bool = True
    is_diff: bool = False


def earlier(entry: AuditLogEntry) -> list[AuditLogEntry]:
    """What its listener recorded of the record before, the last first; one query."""
    before = AuditLogEntry.objects.filter(
        record_id=entry.record_id, listener_id=entry.listener_id, id__lt=entry.pk
    )
    names = ("entity_name", "change_type", "source", "changed_fields", "diff_fields")
    found = list(before.order_by("-id").only("listener_id", *names, "changed_data")[:LOOK_BACK])
    for one in found:
        one.listener = entry.listener
    return found


def changes(
    entry: AuditLogEntry, before: Iterable[AuditLogEntry] = (), see: Sight = MASKED
) -> list[Change]:
    """What the entry carries, in its order, then what it names and does not carry. `before` is the
    last first."""
    past = [_Past.of(one, see) for one in before]
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
        if not any(one == name or one.startswith(f"{name}.") for one in carried)
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
    """Judged by what was recorded: a mask has no shape."""
    return diff_names(entry.changed_data, entry.diff_fields)


def _with_texts(data: Mapping[str, Any], diffs: Iterable[str]) -> dict[str, Any]:
    """Return the data with the text of each diff in place of `{"diff": text}`, so that none is
    taken for a compound field."""
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
    """The last that was recorded of a field."""
    for one in past:
        entry = one.entry
        told, value = _told(name, one.data)
        if told:
            return Known(value, entry.pk, is_told=not _is_named(name, one.diffs))
        if _is_untold(name, one):
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
    """A compound field that was cleared as a whole: the parts that it had."""
    if value is not None:
        return [name]
    parts: dict[str, None] = {}
    for one in past:
        told, before = _told(name, one.data)
        if told and before is None:
            break
        if isinstance(before, Mapping):
            parts |= dict.fromkeys(part for part, _ in _flat(before, f"{name}."))
    return list(parts) or [name]


def _told(name: str, data: Any) -> tuple[bool, Any]:
    """Whether the data says what a field is; a compound field that is null says it of its parts."""
    for step in name.split("."):
        if not isinstance(data, Mapping) or step not in data:
            return False, None
        data = data[step]
        if data is None:
            return True, None
    return True, data


def _is_untold(name: str, past: _Past) -> bool:
    """Named as changed, itself or as a whole, and of the whole nothing was sent."""
    whole = [one for one in past.entry.changed_fields or () if _is_named(name, [one])]
    return any(not _told(one, past.data)[0] for one in whole)


def _is_named(name: str, names: Iterable[str]) -> bool:
    """Itself, or the compound field that it is a part of."""
    return any(name == one or name.startswith(f"{one}.") for one in names)
