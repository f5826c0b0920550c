"""Rebuilds the event of an audit log entry in the format of the Streaming API."""

from __future__ import annotations

from typing import Any

from audit.log.masking import MASKED, Sight
from audit.models import AuditLogEntry

_HEADER = {
    "entityName": "entity_name",
    "changeType": "change_type",
    "changeOrigin": "change_origin",
    "transactionKey": "transaction_key",
    "sequenceNumber": "sequence_number",
    "commitTimestamp": "commit_timestamp",
    "commitNumber": "commit_number",
    "commitUser": "commit_user",
    "changedFields": "changed_fields",
    "nulledFields": "nulled_fields",
    "diffFields": "diff_fields",
}


def raw_event(entry: AuditLogEntry, see: Sight = MASKED) -> dict[str, Any]:
    """Return the event as JSON, without header fields that the event left out."""
    header: dict[str, Any] = {"recordIds": list(entry.record_ids())}
    values = {name: getattr(entry, own) for name, own in _HEADER.items()}
    header |= {name: value for name, value in values.items() if value not in (None, "")}
    header |= entry.header_extra or {}
    event = {"replayId": entry.exported_replay_id, "EventUuid": entry.event_uuid or None}
    return {
        "channel": entry.channel,
        "data": {
            "payload": {**see.data(entry), "ChangeEventHeader": header},
            "event": {name: value for name, value in event.items() if value is not None},
        },
    }
