"""The page of an audit log entry: changed fields, header, and deliveries with attempts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django.db.models import Prefetch, QuerySet, prefetch_related_objects

from audit.log.masking import MASKED, Sight
from audit.models import AuditLogEntry
from console.admin.audit_log.field_rows import LOOK_BACK, earlier, field_rows
from console.labels import change_type_label, outcome_label, state_label
from handlers.checks import unregistered_message
from handlers.models import Delivery, DeliveryAttempt
from handlers.redelivery.request import ON_THEIR_WAY
from handlers.reporting.wait_reason import Wait, waits_of
from handlers.sdk import registry
from handlers.sdk.registry import queue_of

#: The most other entries of the same transaction that are shown.
SIBLINGS = 20


#: The columns of the table of changed fields, with their widths.
_COLUMNS = (("Field", "24%"), ("Before", "33%"), ("After", "33%"), ("Type", "10%"))


def entry_page(entry: AuditLogEntry, see: Sight) -> dict[str, Any]:
    """Return what `entry_page.html` shows of an entry."""
    deliveries = list(Delivery.objects.filter(entry=entry).order_by("id"))
    prefetch_attempts(deliveries)
    waits = waits_of(deliveries)
    siblings = list(_siblings(entry))
    return {
        "entry": entry,
        "change_type": change_type_label(entry.change_type),
        "committed_at": datetime.fromtimestamp(entry.commit_timestamp / 1000, UTC),
        "columns": _COLUMNS,
        "fields": field_rows(entry, earlier(entry), see),
        "look_back": LOOK_BACK,
        "header": _header(entry),
        "raw": json.dumps(raw_event(entry, see), indent=2, ensure_ascii=False),
        "deliveries": [
            delivery_card(delivery, entry, see, waits.get(delivery.pk)) for delivery in deliveries
        ],
        "siblings": [(row, change_type_label(row.change_type)) for row in siblings[:SIBLINGS]],
        "has_more_siblings": len(siblings) > SIBLINGS,
    }


def delivery_card(
    delivery: Delivery, entry: AuditLogEntry, see: Sight, waits: Wait | None
) -> dict[str, Any]:
    """Return what `delivery_card.html` shows of a delivery, masked for the reader."""
    is_ours = delivery.state in Delivery.UNENDED and not delivery.is_external
    unknown = is_ours and registry.find(delivery.handler) is None
    created, started, finished = delivery.created_at, delivery.started_at, delivery.finished_at
    return {
        "delivery": delivery,
        "target": _target(delivery) if delivery.is_external else "",
        "state": state_label(delivery.state),
        "warning": unregistered_message(delivery.handler) if unknown else "",
        "waits": waits,
        "waited": started - created if started else None,
        "took": finished - created if finished else None,
        "is_on_its_way": delivery.state in ON_THEIR_WAY,
        "error": see.text(delivery.error, entry),
        "attempts": [
            {
                "attempt": attempt,
                "outcome": outcome_label(attempt.outcome),
                "seconds": (attempt.finished_at - attempt.started_at).total_seconds(),
                "error": see.text(attempt.error, entry),
                "traceback": see.text(attempt.traceback, entry),
            }
            for attempt in delivery.all_attempts
        ],
    }


def _target(delivery: Delivery) -> str:
    """Return where an external task was sent, its attempts, and what its worker's log calls it."""
    queue = queue_of(delivery.handler, delivery.queue, is_external=True)
    destination: object = delivery.mapping.destination
    if delivery.is_tracked and delivery.attempts:  # the mapping may name another one since
        is_gone = delivery.destination_id is not None and delivery.destination is None
        destination = "a destination that was deleted" if is_gone else delivery.destination
    where = f"queue {queue}{f' on {destination}' if destination else ''}"
    if not delivery.is_tracked:
        return f"external task, not tracked, {where}"
    tried = f"{delivery.attempts} attempt{'' if delivery.attempts == 1 else 's'}"
    task_id = f", task id delivery-{delivery.pk}-{delivery.attempts}" if delivery.attempts else ""
    due = ""
    is_sent = delivery.state in (Delivery.State.QUEUED, Delivery.State.RUNNING)
    if is_sent and delivery.claim_deadline is not None:
        due = f", sent; its report is due by {delivery.claim_deadline:%Y-%m-%d %H:%M:%S} UTC"
    return f"external task, {tried}, {where}{task_id}{due}"


def prefetch_attempts(deliveries: list[Delivery]) -> None:
    """Load what the cards of the deliveries show."""
    attempts = DeliveryAttempt.objects.order_by("number").select_related("redelivery")
    prefetch_related_objects(deliveries, "redelivery", Prefetch("attempt_log", attempts))
    external = [delivery for delivery in deliveries if delivery.is_external]
    # A destination that was deleted since is loaded as None.
    prefetch_related_objects(external, "destination", "mapping__destination")


def _siblings(entry: AuditLogEntry) -> QuerySet[AuditLogEntry]:
    """Return the other entries of the transaction, one more than are shown.

    The query uses the index `entry_identity`.
    """
    same = AuditLogEntry.objects.filter(transaction_key=entry.transaction_key)
    shown = same.exclude(pk=entry.pk).select_related("listener").order_by("sequence_number", "id")
    return shown.defer("changed_data")[: SIBLINGS + 1]


def _header(entry: AuditLogEntry) -> list[tuple[str, Any]]:
    return [
        ("Listener", entry.listener),
        ("Channel", entry.channel),
        ("Source", entry.get_source_display()),
        ("Replay ID", entry.replay_id),
        ("Event UUID", entry.event_uuid),
        ("Transaction key", entry.transaction_key),
        ("Sequence number", str(entry.sequence_number)),
        ("Commit timestamp", f"{entry.commit_timestamp} ms"),
        ("Commit number", _text(entry.commit_number)),
        ("Commit user", entry.commit_user),
        ("Change origin", entry.change_origin),
        ("Records in the event", str(entry.record_count)),
        ("Changed fields", _names(entry.changed_fields)),
        ("Nulled fields", _names(entry.nulled_fields)),
        ("Diff fields", _names(entry.diff_fields)),
        *((name, json.dumps(value)) for name, value in (entry.header_extra or {}).items()),
    ]


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def _names(names: list[str] | None) -> str:
    """Return the names, "none" for an empty list, or "not sent" where the event has no list."""
    if names is None:
        return "not sent"
    return ", ".join(names) or "none"


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
    """Return the event in the format of the Streaming API, without header fields it left out."""
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
