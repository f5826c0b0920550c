"""What the audit log says a record is, to be held against what Salesforce says it is.

Salesforce's own way of a record: its last whole state, and each later change's fields on top. If
that adds up to the record as read, no change of it is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db.models.functions import Coalesce

from audit.models import AuditLogEntry
from consumer.reconciliation.evidence import CHUNK, WHOLE
from listeners.models import Listener

Change = tuple[str, dict[str, Any], bool, bool]  # change type, body, whether read, whether diffs


def states(listener: Listener, entity: str, record_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The records whose state the log tells, with that state."""
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(record_ids), CHUNK):
        entries = (
            AuditLogEntry.objects.filter(
                listener=listener,
                entity_name=entity,
                record_id__in=record_ids[start : start + CHUNK],
            )
            .order_by("record_id", Coalesce("as_of", "commit_timestamp"), "id")
            .values_list("record_id", "change_type", "changed_data", "as_of", "diff_fields")
        )
        for record_id, rows in groupby(entries.iterator(), itemgetter(0)):
            state = added_up((row[1], row[2], row[3] is not None, bool(row[4])) for row in rows)
            if state is not None:
                found[record_id] = state
    return found


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


def is_same(state: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    """Whether they hold the same values; what is null is not there."""
    return bool(_without_nulls(state) == _without_nulls(body))


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
