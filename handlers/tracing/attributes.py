"""What spans say: ids and names, by OpenTelemetry's conventions for messaging, and as `cdc.…` what
those do not know. Nothing of what a change holds, and of an error its class alone."""

from __future__ import annotations

from audit.models import AuditLogEntry
from handlers.sdk.outcomes import Failed
from handlers.sdk.queues import queue_of
from handlers.tracing.tracer import Attributes
from handlers.types import Claim, Ended, Message

#: Of tasks, whatever the broker is.
_SYSTEM = {"messaging.system": "celery"}


def of_entry(listener: str, entry: AuditLogEntry) -> Attributes:
    """Of the receipt of a change."""
    said = {
        **_change(listener, entry),
        "cdc.source": str(entry.source),
        "cdc.replay_id": entry.replay_id,
        "cdc.commit_timestamp": entry.commit_timestamp,
    }
    if entry.source != AuditLogEntry.Source.STREAM:
        return said
    told = {"messaging.message.id": entry.event_uuid} if entry.event_uuid else {}
    return {
        "messaging.system": "salesforce",
        "messaging.operation.type": "receive",
        "messaging.operation.name": "receive",
        "messaging.destination.name": entry.channel,
        **told,
        **said,
    }


def of_sending(message: Message, delivery_id: int) -> Attributes:
    return {
        **_SYSTEM,
        "messaging.operation.type": "send",
        "messaging.operation.name": "send",
        "messaging.destination.name": message.queue,
        "messaging.message.id": message.task_id,
        "messaging.batch.message_count": len(message.ids),
        "cdc.handler": message.task,
        "cdc.delivery": delivery_id,
        "cdc.attempt": message.attempts + 1,
    }


def of_claim(claim: Claim) -> Attributes:
    """Of an attempt."""
    delivery = claim.delivery
    return {
        **_SYSTEM,
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": queue_of(delivery.handler, delivery.queue),
        **_change(delivery.entry.listener.name, delivery.entry),
        "cdc.handler": delivery.handler,
        "cdc.delivery": delivery.pk,
        "cdc.attempt": claim.attempt,
    }


def of_ending(ended: Ended) -> tuple[Attributes, bool]:
    """And whether it is an error: a handler that asks to be called again has not failed yet."""
    state = ended.state or "retrying"
    said: dict[str, str | int] = {"cdc.outcome": ended.kind, "cdc.delivery.state": state}
    match ended.outcome:
        case Failed(kind="retry") if state == "retrying":
            return said, False
        case Failed(kind=kind, type=name):
            return {**said, "error.type": name or kind}, True
        case _:
            return said, False


def _change(listener: str, entry: AuditLogEntry) -> Attributes:
    return {
        "cdc.listener": listener,
        "cdc.entry": entry.pk,
        "cdc.entity": entry.entity_name,
        "cdc.record_id": entry.record_id,
        "cdc.change_type": entry.change_type,
    }
