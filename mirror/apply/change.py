"""A change of a mirrored record, decoded from its event. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from handlers import EventData
from handlers.rules.field_paths import ABSENT, value_at
from listeners.salesforce.rest.records import PERSON, long_id, milliseconds
from mirror.apply.guard import Row, Verdict, event_time, judge_deletion, judge_event, read_time
from mirror.models import DirtyRow
from mirror.schema.columns import Columns
from mirror.schema.compounds import person_name
from mirror.schema.values import LEFT_OUT, Converted, to_columns

Reason = DirtyRow.Reason
_WHOLE = frozenset({"CREATE", "UNDELETE"})
_DELETE = "DELETE"


@dataclass(slots=True)
class Change:
    """A change of one record. `unread` says why its row cannot be decided from it, if so."""

    event: EventData
    record_id: str
    at: datetime
    version: datetime | None = None
    converted: Converted = field(default_factory=Converted)
    unread: str = ""
    #: Whether it was committed before the mirror's first load, which does not find the record if it
    #: was permanently deleted in between.
    is_before_load: bool = False
    #: While the mirror's first load has not ended, when the mirror was added: a row that is known
    #: up to an earlier time is one that an earlier mirror of the object left.
    added_at: datetime | None = None

    @property
    def is_deletion(self) -> bool:
        return self.event.metadata.change_type == _DELETE

    @property
    def is_whole(self) -> bool:
        """Whether the event has every field that has a value."""
        return self.event.metadata.change_type in _WHOLE

    @property
    def since(self) -> int:
        return self.event.metadata.commit_timestamp

    def judge(self, row: Row | None) -> Verdict:
        """Judge the change by the version guard."""
        if self.unread:
            return Verdict.READ
        is_first_attempt = self.event.attempt == 1
        if row is None and self.is_before_load and not self.is_deletion:
            return Verdict.READ
        if self.is_deletion:
            return judge_deletion(row, self.at, is_first_attempt=is_first_attempt)
        verdict = judge_event(
            row,
            self.version,
            self.at,
            is_whole=self.is_whole,
            is_first_attempt=is_first_attempt,
        )
        is_on_left = verdict is Verdict.APPLY and self._is_left(row)
        return Verdict.READ if is_on_left else verdict

    def reason(self, row: Row | None) -> str:
        """Return why the record is read, for a change that the guard could not decide."""
        if self.unread:
            return self.unread
        is_unknown = row is None or row.synced_at is None or not row.is_complete
        return Reason.PARTIAL if is_unknown or self._is_left(row) else Reason.SAME_SECOND

    def _is_left(self, row: Row | None) -> bool:
        """Return whether an earlier mirror left the row, which lacks the changes since, and the
        first load has not read it."""
        if row is None or row.synced_at is None or self.added_at is None:
            return False
        return row.synced_at < self.added_at


def decode(
    columns: Columns,
    event: EventData,
    *,
    loaded_from: datetime | None = None,
    added_at: datetime | None = None,
) -> Change:
    """Return the change of an event. `columns` are resolved against the object's fields.

    `loaded_from` is when the mirror's first load began; None: it has not begun. `added_at` is when
    the mirror was added; None: its first load has ended.
    """
    metadata = event.metadata
    at = event_time(metadata.commit_timestamp, metadata.sequence_number)
    change = Change(event, long_id(metadata.record_id), at, added_at=added_at)
    change.is_before_load = loaded_from is not None and at < loaded_from
    change.unread = _why_unread(columns, event)
    if change.unread or change.is_deletion:
        return change
    body = _with_nulls(event)
    modified = milliseconds(body.get("LastModifiedDate"))
    if modified is None:
        change.unread = Reason.NO_VERSION
        return change
    change.version = read_time(modified)
    change.converted = to_columns(columns, body, is_whole=change.is_whole)
    is_unknown = change.is_whole and change.converted.unknown
    if is_unknown or _lacks_type(columns, body, change.converted):
        change.unread = Reason.FIELD
    return change


def _lacks_type(columns: Columns, body: Mapping[str, Any], converted: Converted) -> bool:
    """Return whether a reference points to a custom object, whose name only a read gives."""
    return any(
        body.get(name) and converted.values.get(column.attname) is None
        for name, column in columns.types.items()
    )


def _why_unread(columns: Columns, event: EventData) -> str:
    """Return why the event does not determine the record's fields, or an empty text."""
    metadata = event.metadata
    if event.superseded_fields:
        return Reason.SUPERSEDED
    if metadata.nulled_fields is None:  # not streamed: it was read when a gap was closed
        return Reason.GAP
    if metadata.change_type == _DELETE:
        return ""
    if metadata.diff_fields:
        return Reason.DIFF
    return "" if _is_known(columns, event, metadata.nulled_fields) else Reason.FIELD


def _is_known(columns: Columns, event: EventData, nulled: Collection[str]) -> bool:
    """Return whether all fields are known, and the event has the values of those that changed."""
    body, known = event.changed_data, columns.names
    return all(name in known or name in LEFT_OUT for name in body) and not any(
        value_at(body, path) is ABSENT and path not in nulled
        for path in event.metadata.changed_fields or ()
    )


def _with_nulls(event: EventData) -> Mapping[str, Any]:
    """Return the body with the fields that only the header names as cleared."""
    body = event.changed_data
    absent = [path for path in event.metadata.nulled_fields or () if value_at(body, path) is ABSENT]
    if not absent:
        return body
    whole = dict(body)
    for path in absent:
        name, _, part = path.partition(".")
        inner = whole.get(name)
        whole[name] = (
            {**(inner if isinstance(inner, Mapping) else {}), part: None} if part else None
        )
    return whole


def merged(
    columns: Columns, change: Change, stored: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Return all columns of the row with the change, by attribute name, without the model's own
    bookkeeping columns but `raw`; None if a value cannot be derived.

    `stored` is the row, which an update needs.
    """
    found = change.converted
    kept = stored or {}
    if change.is_whole:
        if _lacks_stored_value(columns, change, kept):
            return None
        missing = columns.missing
        values = {
            name: kept[name] if name in missing and name in kept else _empty(column)
            for name, column in columns.columns.items()
        }
        return values | found.values | {"raw": found.raw}
    values = {name: kept[name] for name in columns.columns} | found.values
    raw = {
        name: value
        for name, value in (kept["raw"] or {}).items()
        if not (name in columns.fields and columns.fields[name].attname in found.values)
    }
    values["raw"] = raw | found.raw
    if is_person_account(columns, values):
        return None
    return values if not found.unknown or _put_name(columns, values) else None


def _lacks_stored_value(columns: Columns, change: Change, stored: Mapping[str, Any]) -> bool:
    """Return whether the row has a value of a field that the event should have, and lacks: the
    field may be hidden from the user since, or be a formula."""
    found = change.converted
    known = {*columns.missing, *found.values}
    if any(
        name not in known and stored and stored[name] != _empty(column)
        for name, column in columns.columns.items()
    ):
        return True
    return any(
        value is not None
        and name not in found.raw
        and not (name in columns.fields and columns.fields[name].attname in found.values)
        for name, value in (stored.get("raw") or {}).items()
    )


def _empty(column: Any) -> Any:
    return None if column.null else column.get_default()


def is_person_account(columns: Columns, values: Mapping[str, Any]) -> bool:
    """Return whether the row is of a person account. The update of one may lack what is stored in
    its contact, such as PersonEmail, whose change then only shows as a newer LastModifiedDate."""
    return columns.salesforce_object == "Account" and bool(_value(columns, values, "LastName"))


def _value(columns: Columns, values: Mapping[str, Any], name: str) -> Any:
    """Return the value of a field in a row, with or without a column."""
    column = columns.fields.get(name)
    return values["raw"].get(name) if column is None else values[column.attname]


def _put_name(columns: Columns, values: dict[str, Any]) -> bool:
    """Set a person's whole name from its parts in the row; return False if that is not possible."""
    name = person_name({part: _value(columns, values, part) for part in PERSON})
    if name is None:
        return False
    if "Name" in columns.fields:
        values[columns.fields["Name"].attname] = name
    else:
        values["raw"]["Name"] = name
    return True
