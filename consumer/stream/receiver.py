"""The receiving thread of a listener: log in → subscribe from the stored position → poll."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.db import connection
from django.utils import timezone

from audit.db.errors import TRANSIENT
from audit.db.retry import suppress_transient_errors
from consumer import incidents
from consumer.ingest.transaction import Message, Moment, quarantine_answer
from consumer.stream import metrics, replay_lost
from consumer.stream.before_start import is_history
from consumer.stream.buffer import Buffer
from consumer.stream.login_guard import CarefulTokens, LoginGivenUp
from consumer.stream.reconnect_delay import backoff, pause_after
from consumer.stream.refusal_incidents import Refusals
from consumer.stream.start_position import beginning_of
from listeners import crash_points
from listeners.clock import database_clock
from listeners.leases import Lease, LeaseLost
from listeners.models import Listener, Position
from listeners.salesforce.errors import (
    MalformedAnswer,
    Reaction,
    ReplayLost,
    SalesforceError,
    StreamClosed,
)
from listeners.salesforce.protocol import EventStream
from listeners.secrets.encrypted_field import SecretUnavailable

log = structlog.get_logger(__name__)

State = Position.State

#: A session that lived this long was a good one.
SETTLED_SECONDS = 30.0
#: Between two moments that the position is moved to without an event.
MOMENT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Status:
    """How a listener does, for its position's row, for readiness and for the operator."""

    state: Position.State
    reason: str = ""


class Receiver:
    """Receives one channel into a buffer, and recovers from whatever ends a session.

    Ends when it is stopped, or with state FAILED when only an operator can help.
    """

    def __init__(
        self,
        listener: Listener,
        lease: Lease,
        tokens: CarefulTokens,
        stream: EventStream,
        buffer: Buffer,
    ) -> None:
        self.status = Status(State.CONNECTING)
        #: When Salesforce last answered a poll; and when it took the subscription.
        self.last_received_at: datetime | None = None
        self.opened_at: datetime | None = None
        self.caught_up_at: datetime | None = None
        self.last_message_at: float | None = None
        self._listener = listener
        self._lease = lease
        self._buffer = buffer
        self._stream = stream
        self._stop = threading.Event()
        self._failures = 0
        self._empty_answers = 0
        self._refusals = Refusals(listener)
        self._not_before: datetime | None = None
        self._tip_since: datetime | None = None
        self._belongs_to: str | None = None
        self._tokens = tokens
        self._thread = threading.Thread(
            target=self._run, name=f"receive {listener.name}", daemon=True
        )
        self._no_moment_before = 0.0
        self._may_hang_up = threading.Event()
        self._goodbye = threading.Thread(target=self._say_goodbye, name="goodbye", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Receive nothing but what came already; returns at once. The end of it is `hang_up`."""
        self._stop.set()
        if self._goodbye.ident is None:
            self._goodbye.start()

    def hang_up(self) -> None:
        """What came is recorded, or nobody waits for that any more."""
        self._may_hang_up.set()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def has_said_goodbye(self) -> bool:
        """Salesforce knows that it was stopped, or did not answer."""
        return self._goodbye.ident is not None and not self._goodbye.is_alive()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._step()
            self._take_the_rest()
        except (StreamClosed, LeaseLost):
            pass  # stopped, or another process goes on
        except (LoginGivenUp, SecretUnavailable) as error:
            metrics.interrupted(self._listener.name, error, Reaction.CONFIGURATION)
            self._fail(str(error))
        finally:
            metrics.RECEIVING.labels(self._listener.name).set(0)
            connection.close()

    def _say_goodbye(self) -> None:
        self._stream.leave()
        self._may_hang_up.wait()
        self._stream.close()

    def _take_the_rest(self) -> None:
        """Delivered again, it would count twice against the daily limit."""
        with suppress(SalesforceError):
            while self.status.state is State.RECEIVING:
                self._receive()

    def _step(self) -> None:
        try:
            self._attempt()
        except TRANSIENT as error:
            metrics.interrupted(self._listener.name, error)
            connection.close()
            self._wait(f"the database does not answer: {error}", backoff().delay(1))
        except (StreamClosed, LeaseLost, LoginGivenUp, SecretUnavailable):
            raise
        except Exception as error:
            # Nobody foresaw it. It may pass; the listener neither ends nor hides it.
            log.exception("unforeseen", listener=self._listener.name)
            metrics.interrupted(self._listener.name, error)
            self._failures += 1
            self._stream.forget()
            self._wait(f"unforeseen: {type(error).__name__}", backoff().delay(self._failures))

    def _attempt(self) -> None:
        try:
            if not (self._stream.is_open or self._stream.has_news):
                self._open()
            self._keep_beginning()
            self._receive()
        except StreamClosed:
            raise
        except SalesforceError as error:
            metrics.interrupted(self._listener.name, error)
            self._react(error)

    def _react(self, error: SalesforceError) -> None:
        match error:
            case MalformedAnswer():
                raw, why = error.raw, error.why
                quarantine_answer(self._listener, self._lease, raw, why, timezone.now())
                self._recover(error)
            case ReplayLost():
                self._start_anew(error)
            case _:
                self._recover(error)

    def _open(self) -> None:
        """Everything received is recorded first, so that the stored position is the right one."""
        self._set(State.CONNECTING, self.status.reason)
        self._buffer.wait_until_recorded()
        position = Position.objects.get(listener=self._listener)
        self._buffer.follows = position.replay_id
        org_id = self._tokens.get().org_id
        begins = beginning_of(self._listener, position, org_id, timezone.now())
        self._not_before = begins.not_before
        self._empty_answers = 0
        connection.close()
        self._stream.open(begins.replay)
        crash_points.reach("subscribed")
        metrics.OPENED.labels(self._listener.name).inc()
        self._refusals.opened(self._stream.has_replay, timezone.now())
        if begins.replay == "-1" and not self._listener.subscription:
            self._tip_since = self._stream.server_time or timezone.now()
        self._belongs_to = org_id or position.org_id
        self.opened_at = database_clock.estimate()
        begun = self._listener.subscription or begins.replay
        log.info("subscribed", listener=self._listener.name, replay=begun)

    def _keep_beginning(self) -> None:
        """Nothing is received before it is written down where this is, and from when on
        everything is due."""
        if self._belongs_to is None:
            return
        changes: dict[str, Any] = {
            "org_id": self._belongs_to,
            "channel": self._listener.channel,
            "subscription": self._listener.subscription,
        }
        if self._tip_since is not None:
            changes["tip_since"] = self._tip_since
        if not Position.objects.held(self._lease).update(**changes):
            raise LeaseLost
        self._belongs_to = self._tip_since = None

    def _receive(self) -> None:
        self._set(State.RECEIVING)
        connection.close()  # a poll is held for minutes, and a server takes few connections
        messages = self._stream.poll()
        self.last_received_at = now = database_clock.estimate()
        self._note_caught_up(not messages, now)
        self._set(State.RECEIVING)
        self._note_progress(bool(messages))
        self._refusals.received(now)
        received = [
            Message(message, now, is_history(message, self._not_before)) for message in messages
        ]
        if not all(message.passed_over for message in received) or not received:
            self._not_before = None  # what comes after this is new
        if received:
            self.last_message_at = time.monotonic()
            crash_points.reach("received")
            metrics.RECEIVED.labels(self._listener.name).inc(len(received))
            self._buffer.put(received, self._stream.polled_bytes)
        elif self._stream.newest and time.monotonic() >= self._no_moment_before:
            self._no_moment_before = time.monotonic() + MOMENT_SECONDS
            self._buffer.put([Moment(self._stream.newest, now)])

    def _note_caught_up(self, is_empty: bool, now: datetime) -> None:
        """Two answers in a row without a change, and nothing left to record: nothing more waits.
        (One alone may come before what a new subscription has replayed. One that says until where
        there was nothing is recorded as a moment.)"""
        has_rest = not is_empty or self._buffer.outstanding
        self._empty_answers = 0 if has_rest else self._empty_answers + 1
        if self._empty_answers >= 2:
            self.caught_up_at = now

    def _note_progress(self, has_messages: bool) -> None:
        """A session that lasts makes up for what went before; one that ends soon does not."""
        if time.monotonic() - (self._stream.subscribed_at or 0) >= SETTLED_SECONDS:
            self._failures = 0
        elif has_messages:
            self._failures = min(self._failures, 3)

    def _start_anew(self, lost: ReplayLost) -> None:
        """The position was refused: an incident, then as the listener's policy says."""
        replay_lost.record(self._listener, self._lease, lost, timezone.now())
        if self._listener.on_replay_lost == Listener.ReplayLost.STOP:
            self._end(str(lost))
            return
        self._failures += 1
        self._wait(str(lost), pause_after(lost, self._failures))

    def _recover(self, error: SalesforceError) -> None:
        if error.reaction is Reaction.CONFIGURATION:
            self._fail(str(error))
            return
        self._failures += 1
        self._refusals.note(error, timezone.now())
        self._wait(str(error), pause_after(error, self._failures))

    def _wait(self, reason: str, seconds: float) -> None:
        log.warning(
            "not receiving", listener=self._listener.name, reason=reason, seconds=round(seconds, 1)
        )
        self._set(State.CONNECTING, reason)
        self._stop.wait(seconds)

    def _end(self, reason: str) -> None:
        log.error("listener stopped", listener=self._listener.name, reason=reason)
        self._set(State.FAILED, reason)
        self._stop.set()

    def _fail(self, reason: str) -> None:
        """End, with an incident, unless another process has the listener and may well go on."""
        self._end(reason)
        with suppress_transient_errors("open an incident"):
            if Position.objects.held(self._lease).exists():
                incidents.stopped(self._listener.pk, reason, timezone.now())

    def _set(self, state: Position.State, reason: str = "") -> None:
        if self.status != Status(state, reason):
            self.status = Status(state, reason)
        metrics.RECEIVING.labels(self._listener.name).set(state == State.RECEIVING)
