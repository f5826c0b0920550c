"""What the audit log says a record is, to be held against what Salesforce says it is.

Salesforce's own way of a record: its last whole state, and each later change's fields on top. If
that adds up to the record as read, no change of it is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from audit.models import AuditLogEntry
from consumer.reconciliation.evidence import CHUNK, WHOLE
from listeners.models import Listener
from listeners.salesforce.diffs import diff_names

Change = tuple[str, dict[str, Any], bool, bool]  # change type, body, whether read, whether diffs
Row = tuple[Any, ...]

_COLUMNS = (
    *("record_id", "transaction_key", "sequence_number", "source"),
    *("change_type", "changed_data", "as_of", "diff_fields", "received_at"),
)


@dataclass(frozen=True, slots=True)
class Known:
    """A record's state by the log, and when the newest entry of it was received."""

    state: dict[str, Any]
    received_at: datetime

    def is_whole(self, body: Mapping[str, Any]) -> bool:
        """Whether it holds the same values as the record; what is null is not there."""
        return bool(_without_nulls(self.state) == _without_nulls(body))

    def is_part_of(self, body: Mapping[str, Any]) -> bool:
        """Whether the record has all of its values, and maybe some that no event carries."""
        return _is_part(_without_nulls(self.state), _without_nulls(body))


def states(listener: Listener, entity: str, record_ids: Sequence[str]) -> dict[str, Known]:
    """What the log tells of the records whose state it does tell."""
    found: dict[str, Known] = {}
    for start in range(0, len(record_ids), CHUNK):
        entries = (
            AuditLogEntry.objects.filter(
                listener=listener,
                entity_name=entity,
                record_id__in=record_ids[start : start + CHUNK],
            )
            # As they were recorded: what was read holds what had been recorded before.
            .order_by("record_id", "id")
            .values_list(*_COLUMNS)
        )
        for record_id, rows in groupby(entries.iterator(), itemgetter(0)):
            entries_of_it = list(rows)
            state = added_up(_telling(entries_of_it))
            if state is not None:
                found[record_id] = Known(state, entries_of_it[-1][-1])
    return found


def _telling(rows: Sequence[Row]) -> Iterator[Change]:
    """Without the gap events whose own data is there."""
    completed = {row[1:3] for row in rows if row[3] == AuditLogEntry.Source.GAP}
    for _, *event, _, change_type, body, as_of, diff_fields, _ in rows:
        is_gap = change_type.startswith("GAP_")
        if not (is_gap and tuple(event) in completed):
            yield change_type, body, as_of is not None, bool(diff_names(body, diff_fields))


def added_up(changes: Iterable[Change]) -> dict[str, Any] | None:
    """The state of a record after these changes, the oldest first; None if they do not tell it."""
    state: dict[str, Any] | None = None
    for change_type, body, was_read, has_diffs in changes:
        if was_read or change_type in WHOLE:
            state = body
        elif change_type == "UPDATE" and state is not None and not has_diffs:
            state = _merged(state, body)
        else:  # a gap; or it was deleted, and comes back with its whole state
            state = None
    return state


def _merged(state: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Of a compound field an update carries the parts that changed."""
    merged = dict(state)
    for name, value in body.items():
        old = merged.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[name] = _merged(old, value)
        else:
            merged[name] = value
    return merged


def _without_nulls(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    full = {name: _without_nulls(part) for name, part in value.items() if part is not None}
    return {name: part for name, part in full.items() if part != {}}


def _is_part(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(name in other and _is_part(part, other[name]) for name, part in one.items())
    return bool(one == other)
