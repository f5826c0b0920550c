"""Attributes of spans: OpenTelemetry's messaging conventions, and `cdc.…` for everything else.

Only ids and names: no data of a change, and of an error only its class.
"""

from __future__ import annotations

from audit.models import AuditLogEntry
from handlers.sdk.outcomes import Failed
from handlers.sdk.registry import queue_of
from handlers.tracing.tracer import Attributes
from handlers.types import Claim, Ended, Message


def of_entry(listener: str, entry: AuditLogEntry) -> Attributes:
    """Return the attributes of the span in which a change is received."""
    values = {
        **_change(listener, entry),
        "cdc.source": str(entry.source),
        "cdc.replay_id": entry.replay_id,
        "cdc.commit_timestamp": entry.commit_timestamp,
    }
    if entry.source != AuditLogEntry.Source.STREAM:
        return values
    message_id = {"messaging.message.id": entry.event_uuid} if entry.event_uuid else {}
    return {
        **_operation("receive", entry.channel, system="salesforce"),
        **message_id,
        **values,
    }


def of_sending(message: Message, delivery_id: int) -> Attributes:
    return {
        **_operation("send", message.queue),
        "messaging.message.id": message.task_id,
        "messaging.batch.message_count": len(message.ids),
        "cdc.handler": message.task,
        "cdc.delivery": delivery_id,
        "cdc.attempt": message.attempts + 1,
    }


def of_claim(claim: Claim) -> Attributes:
    """Return the attributes of an attempt."""
    delivery = claim.delivery
    return {
        **_operation("process", queue_of(delivery.handler, delivery.queue)),
        **_change(delivery.entry.listener.name, delivery.entry),
        "cdc.handler": delivery.handler,
        "cdc.delivery": delivery.pk,
        "cdc.attempt": claim.attempt,
    }


def of_ending(ended: Ended) -> tuple[Attributes, bool]:
    """Return the attributes of an attempt's end, and whether it is an error.

    A handler that raised `Retry` has not failed yet.
    """
    state = ended.state or "retrying"
    values: dict[str, str | int] = {"cdc.outcome": ended.kind, "cdc.delivery.state": state}
    match ended.outcome:
        case Failed(kind="retry") if state == "retrying":
            return values, False
        case Failed(kind=kind, type=name):
            return {**values, "error.type": name or kind}, True
        case _:
            return values, False


def _operation(name: str, destination: str, system: str = "celery") -> Attributes:
    """Return the attributes of a messaging operation. Tasks' system is Celery with any broker."""
    return {
        "messaging.system": system,
        "messaging.operation.type": name,
        "messaging.operation.name": name,
        "messaging.destination.name": destination,
    }


def _change(listener: str, entry: AuditLogEntry) -> Attributes:
    return {
        "cdc.listener": listener,
        "cdc.entry": entry.pk,
        "cdc.entity": entry.entity_name,
        "cdc.record_id": entry.record_id,
        "cdc.change_type": entry.change_type,
    }
