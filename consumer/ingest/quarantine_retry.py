"""Read a quarantined message again: after an upgrade, or once the database accepts it.

StillUnreadable   the message cannot be read, or was read already; the text says what to do
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from time import time_ns

import structlog
from django.db import DataError, transaction

from audit.action_log import Action, Actor, note
from audit.db.retry import describe
from audit.log.record import record
from audit.models import AuditLogEntry, Quarantined
from consumer import incidents
from consumer.gaps import plan
from consumer.ingest.entry import entry_of
from handlers import tracing
from handlers.models import HandlerMapping
from handlers.outbox import publish
from handlers.outbox.create import deliver
from handlers.redelivery.late import redeliver_late
from handlers.sdk.outcomes import storable
from listeners.models import Listener, Position
from listeners.salesforce.decode import decode
from listeners.salesforce.errors import Undecodable

log = structlog.get_logger(__name__)


class StillUnreadable(Exception):
    """The quarantined message was not recorded. The text says why and what to do."""


def ingest_again(quarantined: Quarantined, by: Actor, now: datetime) -> int:
    """Record the message's changes with their deliveries; return how many changes are new.

    The position does not move. Never inside a transaction. Raises StillUnreadable; the row then
    keeps the new error.
    """
    if quarantined.is_answer:
        raise StillUnreadable(
            "This is a whole response, not an event. Its events were already requested again."
        )
    try:
        entries = _entries(quarantined)
        new, ready = _record(quarantined, entries, by, now)
    except (ValueError, RecursionError, DataError) as error:
        reason = error.reason if isinstance(error, Undecodable) else describe(error)
        unread = Quarantined.objects.filter(pk=quarantined.pk, ingested_at=None)
        unread.update(error=storable(reason))
        raise StillUnreadable(
            f"The message still cannot be read: {storable(reason)}. It stays in quarantine; try "
            "again after an upgrade."
        ) from None
    publish.publish_or_leave(ready, now)
    log.info("read from quarantine", quarantined=quarantined.pk, changes=new)
    return new


def _entries(quarantined: Quarantined) -> list[AuditLogEntry]:
    """Return the entries of a message. Raises Undecodable, and ValueError for invalid JSON."""
    match json.loads(quarantined.raw):
        case dict() as message:
            events = decode(message)
        case _:
            raise ValueError("it is not a JSON object")
    return [entry_of(quarantined.listener, event, quarantined.received_at) for event in events]


def _record(
    quarantined: Quarantined, entries: Sequence[AuditLogEntry], by: Actor, now: datetime
) -> tuple[int, list[int]]:
    """Record the entries in one transaction; return how many are new, and the ids of the deliveries
    to publish."""
    listener: Listener = quarantined.listener
    began = time_ns()
    with transaction.atomic(durable=True):
        Position.objects.lock_listener(listener.pk)
        if not Quarantined.objects.filter(pk=quarantined.pk, ingested_at=None).update(
            ingested_at=now
        ):
            raise StillUnreadable("The message was already read.")
        new = record(entries)
        mappings = list(HandlerMapping.objects.filter(listener=listener))
        ready = deliver(new, mappings, gap_policy=listener.gap_policy)
        redeliver_late(new, by, {"quarantined": quarantined.pk}, now)
        details = {"changes": len(new)}
        note(by, Action.READ_AGAIN, quarantined, name=str(quarantined.pk), details=details)
        # The relay starts the reads and comparisons that this plans.
        plan.plan_repairs(listener, incidents.report(listener.pk, new, now), now)
    if tracing.spans is not None:
        tracing.spans.recorded(listener.name, new, began)
    return len(new), ready
