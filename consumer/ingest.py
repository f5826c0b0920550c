"""The one transaction: a batch's audit entries, its deliveries and the new position, under the
lease's epoch.

LeaseLost   another process has the listener; nothing was written
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import DataError, transaction

from audit.models import AuditLogEntry, Incident, Quarantined
from audit.recording import record
from consumer import troubles
from handlers.deliver import deliver
from handlers.models import HandlerMapping
from handlers.runner import storable
from listeners.leases import Lease, LeaseLost
from listeners.models import Listener, Position
from listeners.salesforce.decode import decode, message_text
from listeners.salesforce.errors import Undecodable
from listeners.salesforce.events import ChangeEvent


@dataclass(frozen=True, slots=True)
class Message:
    """A data message of the channel, as it came, and when.

    `passed_over`: committed before its listener began; it moves the position and nothing else.
    """

    data: Any
    received_at: datetime
    passed_over: bool = False


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What could not be decoded or stored: its raw text, the reason, its replay id if known."""

    raw: str
    error: str
    replay_id: str
    received_at: datetime


@dataclass(slots=True)
class Ingested:
    """What a batch added. `ready`: the deliveries to publish now."""

    entries: int = 0
    repeated: int = 0
    quarantined: int = 0
    ready: list[int] = field(default_factory=list)

    def add(self, other: Ingested) -> None:
        self.entries += other.entries
        self.repeated += other.repeated
        self.quarantined += other.quarantined
        self.ready += other.ready


def ingest(
    listener: Listener,
    lease: Lease,
    messages: Sequence[Message],
    mappings: Sequence[HandlerMapping],
) -> Ingested:
    """Record a batch of messages and what is to be done about them. Never inside a transaction.

    One transaction a batch. A message that cannot be decoded, or that the database refuses, is
    quarantined raw, and its neighbours are recorded: then there are several, in order.
    """
    try:
        return _ingest_whole(listener, lease, messages, mappings)
    except (DataError, Undecodable, UnicodeError) as error:
        if len(messages) == 1:
            return _quarantine(listener, lease, messages[0], error)
    half = len(messages) // 2
    result = ingest(listener, lease, messages[:half], mappings)
    result.add(ingest(listener, lease, messages[half:], mappings))
    return result


def _ingest_whole(
    listener: Listener,
    lease: Lease,
    messages: Sequence[Message],
    mappings: Sequence[HandlerMapping],
) -> Ingested:
    """Decodes outside, writes inside."""
    decoded = [(message, decode(message.data)) for message in messages]
    entries = [
        _entry(listener, event, message.received_at)
        for message, events in decoded
        if not message.passed_over
        for event in events
    ]
    with transaction.atomic(durable=True):
        _hold(lease)
        new = record(entries)
        ready = deliver(new, mappings)
        troubles.report(listener.pk, new, messages[-1].received_at)
        _advance(lease, decoded[-1][1][-1].replay_id, entries)
    return Ingested(entries=len(new), repeated=len(entries) - len(new), ready=ready)


def _quarantine(listener: Listener, lease: Lease, message: Message, error: Exception) -> Ingested:
    """Keep one message raw, with an incident, and move past it."""
    if isinstance(error, Undecodable):
        raw, reason, replay_id = error.raw, error.reason, error.replay_id or ""
    else:
        replay_id = decode(message.data)[0].replay_id
        raw, reason = message_text(message.data), f"the database refused it: {error}"
    unreadable = Unreadable(raw, reason, replay_id, message.received_at)
    with transaction.atomic(durable=True):
        _hold(lease)
        quarantined = _keep(listener, unreadable, Incident.Kind.UNDECODABLE)
        _advance(lease, unreadable.replay_id, [])
    return Ingested(quarantined=quarantined)


def quarantine_answer(listener: Listener, lease: Lease, raw: str, error: str, now: datetime) -> int:
    """Keep an answer that is no JSON; the position stays, so that its events come again."""
    with transaction.atomic(durable=True):
        _hold(lease)
        unreadable = Unreadable(raw, error, "", now)
        return _keep(listener, unreadable, Incident.Kind.MALFORMED_ANSWER)


def _hold(lease: Lease) -> None:
    """Lock the position for this transaction, if the lease still is the current one."""
    if Position.objects.held(lease).select_for_update().first() is None:
        raise LeaseLost


def _advance(lease: Lease, replay_id: str, entries: Sequence[AuditLogEntry]) -> None:
    changes: dict[str, Any] = {"replay_id": replay_id} if replay_id else {}
    if entries:
        changes["last_event_at"] = troubles.moment(max(e.commit_timestamp for e in entries))
    if changes and not Position.objects.held(lease).update(**changes):
        raise LeaseLost


def _keep(listener: Listener, unreadable: Unreadable, kind: Incident.Kind) -> int:
    """Inside the caller's transaction; 0 when the same text was kept before."""
    raw = unreadable.raw.replace("\0", "\\u0000").encode(errors="backslashreplace").decode()
    digest = hashlib.sha256(raw.encode()).hexdigest()
    if Quarantined.objects.filter(listener=listener, digest=digest).exists():
        return 0
    Quarantined.objects.create(
        listener=listener,
        channel=listener.channel,
        replay_id=unreadable.replay_id[:255],
        raw=raw,
        digest=digest,
        error=storable(unreadable.error),
        received_at=unreadable.received_at,
    )
    Incident.objects.report(listener.pk, troubles.unreadable(kind), unreadable.received_at)
    return 1


def _entry(listener: Listener, event: ChangeEvent, received_at: datetime) -> AuditLogEntry:
    return AuditLogEntry(
        listener=listener,
        channel=event.channel,
        entity_name=event.entity_name,
        record_id=event.record_id,
        change_type=event.change_type,
        change_origin=event.change_origin or "",
        transaction_key=event.transaction_key,
        sequence_number=event.sequence_number,
        commit_timestamp=event.commit_timestamp,
        commit_number=event.commit_number,
        commit_user=event.commit_user or "",
        replay_id=event.replay_id,
        event_uuid=event.event_uuid or "",
        record_count=len(event.record_ids),
        changed_fields=_list(event.changed_fields),
        nulled_fields=_list(event.nulled_fields),
        diff_fields=_list(event.diff_fields),
        changed_data=event.changed_data,
        received_at=received_at,
    )


def _list(names: Iterable[str] | None) -> list[str] | None:
    return None if names is None else list(names)
