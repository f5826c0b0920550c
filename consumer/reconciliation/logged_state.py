"""The state of a record according to the audit log: its last whole state plus later changes.

The log has a record whole after its creation, its restore, or a read over REST. Otherwise it has
only the fields that the record's changes carried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from audit.models import AuditLogEntry
from consumer.reconciliation.evidence import DELETES, WHOLE
from handlers.ordering.read_records import Reading
from handlers.rules.field_paths import overlaid
from listeners.models import Listener
from listeners.salesforce.diffs import diff_names

Source = AuditLogEntry.Source

_COLUMNS = (
    *("record_id", "transaction_key", "sequence_number", "source", "change_type"),
    *("changed_data", "changed_fields", "diff_fields", "commit_timestamp"),
    *("as_of", "read_at", "received_at"),
)
#: An update with only these fields is the first event of a split transaction.
_STAMPS = frozenset({"LastModifiedDate", "LastModifiedById"})


@dataclass(slots=True)
class LoggedState:
    """The values of a record according to the log.

    `open_fields`: fields whose value the log does not have, as the event carried a diff or no
    value. `is_deleted`: the log has no restore after a deletion. `is_cut_off`: the log has the
    first event of a split transaction, and none of the later ones. `received_at`: when the newest
    entry was received.
    """

    values: dict[str, Any] = field(default_factory=dict)
    is_whole: bool = False
    open_fields: set[str] = field(default_factory=set)
    is_deleted: bool = False
    is_cut_off: bool = False
    received_at: datetime | None = None

    def begin(self, entry: AuditLogEntry) -> None:
        """Take the whole record from an entry."""
        self.values, self.is_whole = dict(entry.changed_data), True
        self.is_deleted = False
        self.open_fields, self.is_cut_off = _diffs(entry), False

    def update(self, entry: AuditLogEntry) -> None:
        """Apply the fields that an update carries."""
        body, diffs = entry.changed_data, _diffs(entry)
        named = {_top(name) for name in entry.changed_fields or ()}
        self.open_fields -= body.keys() - diffs
        self.open_fields |= diffs | (named - body.keys())
        carried = {name: value for name, value in body.items() if name not in diffs}
        self.values = overlaid(self.values, carried)

    def forget(self, *, is_deleted: bool) -> None:
        """Forget all values, after a gap event or a deletion."""
        self.values, self.is_whole, self.is_deleted = {}, False, is_deleted
        self.open_fields, self.is_cut_off = set(), False


def logged_states(
    listener: Listener, entity: str, record_ids: Sequence[str]
) -> dict[str, LoggedState]:
    """Return the logged state of each record, of up to CHUNK, that has an entry."""
    entries = AuditLogEntry.objects.filter(
        listener=listener, entity_name=entity, record_id__in=record_ids
    )
    # In the order of recording: a read record contains the changes recorded before it.
    ordered = entries.order_by("record_id", "id").only(*_COLUMNS)
    return {
        record_id: state_after(list(group))
        for record_id, group in groupby(ordered.iterator(), attrgetter("record_id"))
    }


def state_after(entries: Sequence[AuditLogEntry]) -> LoggedState:
    """Return the state of one record after its entries, given oldest first."""
    state, reading = LoggedState(), None
    parts = Counter(entry.transaction_key for entry in entries)
    for entry in _telling(entries):
        state.received_at = entry.received_at
        if entry.as_of is not None:
            reading = Reading.of(entry)
            state.begin(entry)
        elif state.is_deleted and entry.change_type == "UNDELETE":
            state.begin(entry)  # a reading may hold the restore, and not its deletion
        elif reading is not None and entry.source == Source.STREAM and reading.holds(entry):
            pass  # older than the record that was read
        elif entry.change_type in WHOLE:
            state.begin(entry)
        elif entry.change_type == "UPDATE":
            state.update(entry)
            is_alone = parts[entry.transaction_key] == 1
            state.is_cut_off |= is_alone and entry.changed_data.keys() <= _STAMPS
        else:
            state.forget(is_deleted=entry.change_type in DELETES)
    return state


def _telling(entries: Sequence[AuditLogEntry]) -> Iterable[AuditLogEntry]:
    """Leave out gap events that were completed with data."""
    completed = {
        (entry.transaction_key, entry.sequence_number)
        for entry in entries
        if entry.source == Source.GAP
    }
    return (
        entry
        for entry in entries
        if not entry.change_type.startswith("GAP_")
        or (entry.transaction_key, entry.sequence_number) not in completed
    )


def _diffs(entry: AuditLogEntry) -> set[str]:
    return {_top(name) for name in diff_names(entry.changed_data, entry.diff_fields)}


def _top(name: str) -> str:
    return name.partition(".")[0]
