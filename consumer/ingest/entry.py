"""Builds the audit log entry of a change event."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from audit.db.bulk_insert import object_factory
from audit.models import AuditLogEntry
from listeners.models import Listener
from listeners.salesforce.events import ChangeEvent

# A factory instead of `AuditLogEntry(…)`, because the constructor of a model is ten times as slow,
# and each change of a stream needs an entry.
_new_audit_log_entry = object_factory(AuditLogEntry)


def entry_of(listener: Listener, event: ChangeEvent, received_at: datetime) -> AuditLogEntry:
    """Return the unsaved audit log entry of a change event."""
    return _new_audit_log_entry(
        {
            "listener_id": listener.pk,
            "channel": event.channel,
            "entity_name": event.entity_name,
            "record_id": event.record_id,
            "change_type": event.change_type,
            "change_origin": event.change_origin or "",
            "transaction_key": event.transaction_key,
            "sequence_number": event.sequence_number,
            "commit_timestamp": event.commit_timestamp,
            "commit_number": event.commit_number,
            "commit_user": event.commit_user or "",
            "replay_id": event.replay_id,
            "event_uuid": event.event_uuid or "",
            "record_count": len(event.record_ids),
            "changed_fields": _list(event.changed_fields),
            "nulled_fields": _list(event.nulled_fields),
            "diff_fields": _list(event.diff_fields),
            "header_extra": event.header_extra,
            "changed_data": event.changed_data,
            "received_at": received_at,
        }
    )


def _list(names: Iterable[str] | None) -> list[str] | None:
    return None if names is None else list(names)
