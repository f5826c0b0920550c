"""The fields of a change as the console shows them: values before and after, and JSON types."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from audit.log.masking import MASKED, Sight
from audit.models import AuditLogEntry
from console.admin.audit_log.field_history import Change, Known, changes

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
    value: str
    kind: str
    note: str = ""
    before: str = ""
    before_note: str = ""
    before_entry: int | None = None
    is_same: bool = False


def field_rows(
    entry: AuditLogEntry, before: Iterable[AuditLogEntry] = (), see: Sight = MASKED
) -> list[FieldRow]:
    is_new = entry.change_type == "CREATE"
    rows = changes(entry, before, see)
    return [_row(change, is_new=is_new, mask=see.mask) for change in rows]


def summary_names(entry: AuditLogEntry) -> list[str]:
    """Return the changed fields, compound fields once and without bookkeeping fields.

    A create names no changed fields and carries all of them.
    """
    names = dict.fromkeys(
        name.partition(".")[0] for name in entry.changed_fields or entry.changed_data
    )
    return [name for name in names if name not in BOOKKEEPING] or list(names)


def _row(change: Change, *, is_new: bool, mask: str) -> FieldRow:
    value, kind, note = _after(change)
    known = change.before
    # Two masked values cannot be compared.
    is_comparable = change.is_told and not change.is_diff and change.value != mask
    before, before_note = _before(known, is_new=is_new)
    return FieldRow(
        name=change.name,
        value=value,
        kind=kind,
        note=note,
        before=before,
        before_note=before_note,
        before_entry=known.entry_id if known else None,
        is_same=bool(is_comparable and known and known.is_told and known.value == change.value),
    )


def _after(change: Change) -> tuple[str, str, str]:
    """Return value, JSON type and note."""
    if not change.is_told:
        return "", "", "changed, value not sent"
    note = "sent as a unified diff" if change.is_diff else ""
    if change.value is None:
        return "null (cleared)", "null", note
    return _text(change.value), _KINDS.get(type(change.value), "object"), note


def _before(known: Known | None, *, is_new: bool) -> tuple[str, str]:
    """Return the value, or a note in its place."""
    if known is None:
        return "", "new record" if is_new else "not recorded"
    if not known.is_told:
        return "", "changed before, value not recorded"
    return ("", "empty") if known.value is None else (_text(known.value), "")


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return text or "(empty)"
