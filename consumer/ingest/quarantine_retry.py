"""A message in quarantine is read once more: after an upgrade, or once the database takes it.

StillUnreadable   it cannot be read, or was; the message says why and what to do
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from time import time_ns

import structlog
from django.db import DataError, transaction

from audit.action_log import Action, Actor, note
from audit.db.errors import describe
from audit.log.record import record
from audit.models import AuditLogEntry, Quarantined
from consumer import incidents
from consumer.gaps import plan
from consumer.ingest.transaction import entry_of
from handlers import tracing
from handlers.models import HandlerMapping
from handlers.outbox import publish
from handlers.outbox.create import deliver
from handlers.sdk.outcomes import storable
from listeners.models import Listener, Position
from listeners.salesforce.decode import decode
from listeners.salesforce.errors import Undecodable

log = structlog.get_logger(__name__)


class StillUnreadable(Exception):
    """Nothing was recorded. The message says what to do."""


def ingest_again(quarantined: Quarantined, by: Actor, now: datetime) -> int:
    """Record the message's changes and what is to be done about them; how many are new.

    The position stays where it is. Never inside a transaction. Raises StillUnreadable: the row is
    kept, with the error of now.
    """
    if quarantined.is_answer:
        raise StillUnreadable(
            "It is a whole answer, and not an event: its events were asked for again."
        )
    try:
        entries = _entries(quarantined)
        new, ready = _record(quarantined, entries, by, now)
    except (ValueError, RecursionError, DataError) as error:
        reason = error.reason if isinstance(error, Undecodable) else describe(error)
        unread = Quarantined.objects.filter(pk=quarantined.pk, ingested_at=None)
        unread.update(error=storable(reason))
        raise StillUnreadable(
            f"It still cannot be read: {storable(reason)}. It stays here; an upgrade may read it."
        ) from None
    publish.publish_or_leave(ready, now)
    log.info("read from quarantine", quarantined=quarantined.pk, changes=new)
    return new


def _entries(quarantined: Quarantined) -> list[AuditLogEntry]:
    """Raises Undecodable, and ValueError for what is no JSON (its end was cut off, say)."""
    match json.loads(quarantined.raw):
        case dict() as message:
            events = decode(message)
        case _:
            raise ValueError("it is no JSON object")
    return [entry_of(quarantined.listener, event, quarantined.received_at) for event in events]


def _record(
    quarantined: Quarantined, entries: Sequence[AuditLogEntry], by: Actor, now: datetime
) -> tuple[int, list[int]]:
    """How many changes are new, and the deliveries to publish. One transaction."""
    listener: Listener = quarantined.listener
    began = time_ns()
    with transaction.atomic(durable=True):
        Position.objects.lock_listener(listener.pk)
        if not Quarantined.objects.filter(pk=quarantined.pk, ingested_at=None).update(
            ingested_at=now
        ):
            raise StillUnreadable("It was read before.")
        new = record(entries)
        mappings = list(HandlerMapping.objects.filter(listener=listener))
        ready = deliver(new, mappings, gap_policy=listener.gap_policy)
        details = {"changes": len(new)}
        note(by, Action.READ_AGAIN, quarantined, name=str(quarantined.pk), details=details)
        # What is to be read from Salesforce for it, the relay starts.
        plan.follow(listener, incidents.report(listener.pk, new, now), now)
    if tracing.spans is not None:
        tracing.spans.recorded(listener.name, new, began)
    return len(new), ready
