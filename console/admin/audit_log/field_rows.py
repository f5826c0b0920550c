"""The fields of a change as the console shows them: values before and after, and JSON types.

Only `earlier` reads the database. All values are masked for the reader.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from audit.log.masking import MASKED, Sight
from audit.models import AuditLogEntry
from listeners.salesforce.diffs import diff_names

#: Earlier changes of a record that are searched for previous values.
LOOK_BACK = 200
_KINDS = {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
#: Fields that every change updates.
BOOKKEEPING = {
    "CreatedById",
    "CreatedDate",
    "LastModifiedById",
    "LastModifiedDate",
    "SystemModstamp",
}


@dataclass(frozen=True)
class FieldRow:
    """A field of a record, or a part of a compound field such as `Name.FirstName`.

    `before` is the previous value and `before_entry` the entry that recorded it. Without a
    previous value, `before_note` says why.
    """

    name: str
    before: str
    before_note: str
    before_entry: int | None
    value: str = ""
    kind: str = ""
    note: str = ""
    is_same: bool = False


@dataclass(frozen=True)
class _Known:
    """The last recorded value of a field, and the entry that recorded it.

    `is_told` is false if that entry says that the field changed, but not to which value.
    """

    value: Any
    entry_id: int
    is_told: bool = True


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


def field_rows(
    entry: AuditLogEntry, before: Iterable[AuditLogEntry] = (), see: Sight = MASKED
) -> list[FieldRow]:
    """Return the fields that the entry carries, then those it only names; `before` newest first."""
    past = [_Past.of(other, see) for other in before]
    diffs = _diffs_of(entry)
    is_new = entry.change_type == "CREATE"
    carried = dict(_flat(_with_texts(see.data(entry), diffs)))
    rows = []
    for name, value in carried.items():
        is_diff = name in diffs
        for part in _parts(name, value, past):
            known = _known(part, past)
            # Two masked values cannot be compared.
            is_comparable = known and known.is_told and not is_diff and value != see.mask
            rows.append(
                FieldRow(
                    part,
                    *_before(known, is_new=is_new),
                    value="null (cleared)" if value is None else _text(value),
                    kind="null" if value is None else _KINDS.get(type(value), "object"),
                    note="sent as a unified diff" if is_diff else "",
                    is_same=bool(is_comparable and known and known.value == value),
                )
            )
    rows += [
        FieldRow(name, *_before(_known(name, past), is_new=is_new), note="changed, value not sent")
        for name in entry.changed_fields or ()
        if not any(part == name or part.startswith(f"{name}.") for part in carried)
    ]
    return rows


def summary_names(entry: AuditLogEntry) -> list[str]:
    """Return the changed fields, compound fields once and without bookkeeping fields.

    A create names no changed fields and carries all of them.
    """
    names = dict.fromkeys(
        name.partition(".")[0] for name in entry.changed_fields or entry.changed_data
    )
    return [name for name in names if name not in BOOKKEEPING] or list(names)


def _before(known: _Known | None, *, is_new: bool) -> tuple[str, str, int | None]:
    """Return the value, or a note in its place, and the entry that recorded it."""
    if known is None:
        return "", "new record" if is_new else "not recorded", None
    if not known.is_told:
        return "", "changed before, value not recorded", known.entry_id
    if known.value is None:
        return "", "empty", known.entry_id
    return _text(known.value), "", known.entry_id


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return text or "(empty)"


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
            result[field] = {**value, part: _diff_text(value.get(part))}
        elif field in result:
            result[field] = _diff_text(value)
    return result


def _diff_text(value: Any) -> Any:
    return value["diff"] if isinstance(value, Mapping) and value.keys() == {"diff"} else value


def _known(name: str, past: list[_Past]) -> _Known | None:
    """Return the last recorded value of a field."""
    for previous in past:
        entry = previous.entry
        is_carried, value = _value_in(name, previous.data)
        if is_carried:
            return _Known(value, entry.pk, is_told=not _is_named(name, previous.diffs))
        if _is_untold(name, previous):
            return _Known(None, entry.pk, is_told=False)
        if entry.change_type == "CREATE" and entry.source == AuditLogEntry.Source.STREAM:
            return _Known(None, entry.pk)  # a create carries every field that has a value
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
