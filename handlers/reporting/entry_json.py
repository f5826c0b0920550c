"""The JSON form of an audit log entry, in the export and in the API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db.models import Prefetch

from audit.log.masking import MASKED, Sight
from audit.models import AuditLogEntry
from audit.models.entry import AuditLogQuerySet
from handlers.models import Delivery

COLUMNS = (
    "id",
    "listener",
    "channel",
    "entity_name",
    "record_id",
    "change_type",
    "change_origin",
    "transaction_key",
    "sequence_number",
    "commit_timestamp",
    "commit_number",
    "commit_user",
    "replay_id",
    "changed_fields",
    "changed_data",
    "source",
    "received_at",
    "deliveries",
)
#: The key for header fields without a column, present only when an entry has some.
EXTRA = "header_extra"


def with_deliveries(entries: AuditLogQuerySet) -> AuditLogQuerySet:
    """Return the entries with the rows prefetched that `exported_entry` needs."""
    deliveries = Prefetch("deliveries", Delivery.objects.order_by("id"))
    return entries.select_related("listener").prefetch_related(deliveries)


def exported_entry(entry: AuditLogEntry, sight: Sight = MASKED) -> dict[str, Any]:
    row = {name: getattr(entry, name) for name in COLUMNS if name != "deliveries"}
    extra = {EXTRA: entry.header_extra} if entry.header_extra else {}
    return {
        **row,
        "listener": entry.listener.name,
        "commit_user": entry.commit_user or None,
        "replay_id": entry.exported_replay_id,
        "changed_data": sight.data(entry),
        "received_at": exported_time(entry.received_at),
        "deliveries": [
            exported_delivery(delivery, entry, sight) for delivery in entry.deliveries.all()
        ],
        **extra,
    }


def exported_delivery(
    delivery: Delivery, entry: AuditLogEntry, sight: Sight = MASKED
) -> dict[str, Any]:
    return {
        "id": delivery.pk,
        "handler": delivery.handler,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "error": sight.text(delivery.error, entry) or None,
        "queued_at": exported_time(delivery.queued_at),
        "started_at": exported_time(delivery.started_at),
        "finished_at": exported_time(delivery.finished_at),
    }


def exported_time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None
