"""The ingest transaction: a batch's audit log entries, its deliveries and the new position are
written together or not at all, and only while this process holds the listener's lease.

Its functions raise LeaseLost and CommitsLost (`consumer.ingest.position`). The transaction that
raised one wrote nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from time import time_ns
from typing import Any

from django.db import DataError, transaction

from audit.db.bulk_insert import no_op
from audit.db.prepared import Param, Prepared
from audit.db.retry import describe
from audit.log import throughput
from audit.log.record import record
from audit.models import AuditLogEntry
from consumer import incidents
from consumer.gaps import plan
from consumer.ingest import shared_ids
from consumer.ingest.entry import entry_of
from consumer.ingest.position import advance, hold
from consumer.ingest.quarantine import Unreadable, keep
from consumer.ingest.shared_ids import HeldBack
from handlers import tracing
from handlers.models import HandlerMapping
from handlers.outbox.handover import DeliveriesToPublish, deliver_batch
from listeners import crash_points
from listeners.clock import database_clock
from listeners.leases import Lease, lease_end
from listeners.models import Listener, Position
from listeners.salesforce.decode import decode, message_text
from listeners.salesforce.errors import Undecodable
from listeners.salesforce.events import ChangeEvent


@dataclass(slots=True)
class Message:
    """A data message of the channel, undecoded.

    `is_before_start`: it was committed before the listener began, so it only moves the position.
    """

    data: Any
    received_at: datetime
    is_before_start: bool = False
    _decoded: list[ChangeEvent] = field(default_factory=list, init=False, repr=False, compare=False)

    def decode_early(self) -> int:
        """Decode now what `events` returns later; return how many events there are. Raises
        Undecodable."""
        self._decoded = self._decoded or decode(self.data)
        return len(self._decoded)

    def events(self) -> list[ChangeEvent]:
        """Return the decoded events, and drop them here, since they may be many. Raises
        Undecodable."""
        events, self._decoded = self._decoded or decode(self.data), []
        return events


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Salesforce had no further event up to this replay id when it answered. Without an id, up to
    the newest event before."""

    replay_id: str
    received_at: datetime


@dataclass(slots=True)
class Ingested:
    """The counts and results of a recorded batch.

    `entries`, `repeated`, `quarantined`: counts. `to_publish`: the deliveries to publish now.
    `reads_planned`: whether records are to be read over REST. `replay_id`: the new position, empty
    if it did not move. `position_token`: the new `Position.position_token`, empty likewise.
    `first_commit_timestamp`: of the first change, in milliseconds since 1970.
    """

    entries: int = 0
    repeated: int = 0
    quarantined: int = 0
    to_publish: DeliveriesToPublish = field(default_factory=DeliveriesToPublish)
    reads_planned: bool = False
    replay_id: str = ""
    position_token: str = ""
    first_commit_timestamp: int | None = None

    def add(self, other: Ingested) -> None:
        self.entries += other.entries
        self.repeated += other.repeated
        self.quarantined += other.quarantined
        self.to_publish.add(other.to_publish)
        self.reads_planned |= other.reads_planned
        self.replay_id = other.replay_id or self.replay_id
        self.position_token = other.position_token or self.position_token
        if self.first_commit_timestamp is None:
            self.first_commit_timestamp = other.first_commit_timestamp


def run_once(write: Callable[[], Ingested]) -> Ingested:
    """Call a transaction without a retry."""
    return write()


_MAPPINGS = Prepared(lambda: HandlerMapping.objects.filter(listener=Param("listener_id")))


def ingest(
    listener: Listener,
    lease: Lease,
    messages: Sequence[Message],
    mappings: Sequence[HandlerMapping] | None = None,
    expected_position: str | None = None,
    *,
    while_writing: Callable[[], None] = no_op,
    expect_repeats: bool = True,
    commit: Callable[[Callable[[], Ingested]], Ingested] = run_once,
) -> Ingested:
    """Record a batch of messages with their deliveries. Never inside a transaction.

    `mappings`: the handler mappings to deliver to; None: those of the listener, read when the batch
    is recorded. `expected_position`: the position token that the last batch left, if known.
    `while_writing` is called while the database writes. `expect_repeats`: whether some entries have
    probably been recorded before; the result is the same, but a right guess is faster.

    A batch takes one transaction. A message that cannot be decoded, or that the database refuses,
    is quarantined raw; then the rest of the batch is recorded in several transactions, in order.
    `commit` calls each of the transactions, and may retry it.
    """
    record_entries = partial(record, while_writing=while_writing, expect_repeats=expect_repeats)
    ingest_messages = partial(_ingest_in_one_transaction, listener, lease, messages, mappings)
    try:
        return commit(
            partial(
                ingest_messages, expected_position=expected_position, record_entries=record_entries
            )
        )
    except (DataError, Undecodable, UnicodeError) as error:
        if len(messages) == 1:
            return commit(
                partial(_quarantine, listener, lease, messages[0], error, expected_position)
            )
    half = len(messages) // 2
    result = ingest(listener, lease, messages[:half], mappings, expected_position, commit=commit)
    expected_position = result.position_token or expected_position
    result.add(ingest(listener, lease, messages[half:], mappings, expected_position, commit=commit))
    return result


def _ingest_in_one_transaction(
    listener: Listener,
    lease: Lease,
    messages: Sequence[Message],
    mappings: Sequence[HandlerMapping] | None,
    *,
    expected_position: str | None,
    record_entries: Callable[[Sequence[AuditLogEntry]], list[AuditLogEntry]],
) -> Ingested:
    """Record a batch in one transaction, decoded before it begins."""
    decoded = [(message, message.events()) for message in messages]
    entries = [
        entry_of(listener, event, message.received_at)
        for message, events in decoded
        if not message.is_before_start
        for event in events
    ]
    decoded_events = [events for _, events in decoded]
    replay_id = decoded_events[-1][-1].replay_id
    began = time_ns()
    # Entries, deliveries and position commit together. `durable` raises an error if the caller has
    # opened a transaction: then leaving this block would not commit.
    with transaction.atomic(durable=True):
        position = hold(lease, expected_position, replay_id)
        crash_points.reach("recording")
        new = record_entries(entries)
        if mappings is None:
            mappings = _MAPPINGS.objects(listener_id=listener.pk)
        policy = listener.gap_policy
        to_publish = deliver_batch(
            new, mappings, database_clock.estimate(), gap_policy=policy, position=position
        )
        # Gap, overflow and unknown changes open incidents; the repairs are planned from these.
        reported = incidents.report(listener.pk, new, messages[-1].received_at)
        reads_planned = plan.plan_repairs(listener, reported, messages[-1].received_at)
        held_back = shared_ids.after_batch(position, listener.channel, decoded_events, new)
        advance(lease, replay_id, entries, held_back)
        throughput.count(listener.pk, messages[-1].received_at, len(messages), len(new))
        crash_points.reach("recorded")
    crash_points.reach("committed")
    if tracing.spans is not None:
        tracing.spans.recorded(listener.name, new, began)
    first_commit_timestamp = entries[0].commit_timestamp if entries else None
    result = Ingested(len(new), len(entries) - len(new), 0, to_publish, reads_planned)
    result.first_commit_timestamp = first_commit_timestamp
    return _set_position(result, replay_id, held_back)


def _quarantine(
    listener: Listener,
    lease: Lease,
    message: Message,
    error: Exception,
    expected_position: str | None,
) -> Ingested:
    """Quarantine one message with an incident, and move the position past it."""
    if isinstance(error, Undecodable):
        raw, reason, replay_id = error.raw, error.reason, error.replay_id or ""
    else:
        replay_id = message.events()[0].replay_id
        raw, reason = message_text(message.data), f"the database refused it: {describe(error)}"
    unreadable = Unreadable(raw, reason, replay_id, message.received_at)
    with transaction.atomic(durable=True):
        position = hold(lease, expected_position, replay_id)
        quarantined = keep(listener, unreadable)
        held_back = shared_ids.after_unreadable(position, listener.channel, replay_id)
        advance(lease, replay_id, [], held_back)
        throughput.count(listener.pk, message.received_at, 1, 0)
    return _set_position(Ingested(quarantined=quarantined), replay_id, held_back)


def _set_position(result: Ingested, replay_id: str, held_back: HeldBack | None) -> Ingested:
    """Set the result's new position, and return the result."""
    result.replay_id = held_back.replay_id if held_back else replay_id
    result.position_token = held_back.position_token if held_back else replay_id
    return result


def move_to_keep_alive(
    lease: Lease, keep_alive: KeepAlive, expected_position: str | None = None
) -> str:
    """Move the position to a keep-alive, once every message before it is recorded; return the new
    position. Never inside a transaction."""
    replay_id = keep_alive.replay_id or shared_ids.newest_of(expected_position or "")
    with transaction.atomic(durable=True):
        position = hold(lease, expected_position, replay_id, nothing_follows=True)
        replay_id = keep_alive.replay_id or position.newest_id or position.replay_id
        changes: dict[str, Any] = {"replay_id": replay_id, "caught_up_at": keep_alive.received_at}
        if keep_alive.replay_id:
            changes["named_at"] = keep_alive.received_at
        if position.newest_id or position.replay_id_at:
            changes |= {**Position.NOT_HELD_BACK, "replay_id_at": None}
        Position.objects.held(lease).update(
            **changes, unrecorded_since=None, lease_until=lease_end()
        )
    return replay_id


def quarantine_answer(listener: Listener, lease: Lease, raw: str, error: str, now: datetime) -> int:
    """Quarantine a response that is not JSON; return how many rows were added.

    The position does not move, so that the events come again.
    """
    with transaction.atomic(durable=True):
        hold(lease)
        return keep(listener, Unreadable(raw, error, "", now, is_answer=True))
