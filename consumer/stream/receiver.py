"""The receiving thread of a listener: log in → subscribe from the stored position → poll."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import connection
from django.utils import timezone

from audit.db.retry import TRANSIENT, suppress_transient_errors
from audit.internal_errors import step
from consumer import incidents
from consumer.ingest.transaction import KeepAlive, Message, quarantine_answer
from consumer.stream import metrics, replay_lost
from consumer.stream.buffer import Buffer
from consumer.stream.login_guard import GuardedTokens, LoginGivenUp
from consumer.stream.reconnect_delay import backoff, pause_after
from consumer.stream.refusal_incidents import Refusals
from consumer.stream.session import Session
from consumer.stream.start_position import is_before_start
from listeners import crash_points
from listeners.backoff import Backoff
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
from listeners.threads import OVER, BackgroundThread, call_in_thread

log = structlog.get_logger(__name__)

State = Position.State

#: Seconds after which a session counts as stable, and the back-off starts over.
STABLE_SECONDS = 30.0
#: Seconds between two moves of the position without an event.
MOVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Status:
    """A listener's state and its reason, for the position's row, readiness and the operator."""

    state: Position.State
    reason: str = ""


class Receiver:
    """Receives one channel into a buffer, and reconnects after errors. Ends when it is stopped, or
    with state FAILED when an operator has to act."""

    def __init__(
        self,
        listener: Listener,
        lease: Lease,
        tokens: GuardedTokens,
        stream: EventStream,
        buffer: Buffer,
    ) -> None:
        self.thread = BackgroundThread(
            step(
                f"receive {listener.name}",
                self._receive_or_end,
                f"Changes of {listener.name} are not received. Salesforce keeps them for 72 hours.",
                backoff=Backoff(0.1, 1.0),  # besides that of the session
            ),
            finish=self._end_receiving,
        )
        self.status = Status(State.CONNECTING)
        #: When Salesforce last answered a poll, and when it accepted the subscription.
        self.last_received_at: datetime | None = None
        self.opened_at: datetime | None = None
        self.caught_up_at: datetime | None = None
        self.last_message_at: float | None = None
        self._listener = listener
        self._lease = lease
        self._buffer = buffer
        self._stream = stream
        stream.admit = buffer.reserve
        self.session = Session(listener, lease, stream, buffer)
        self._stopping = threading.Event()
        self._failures = 0
        self._empty_answers = 0
        self._refusals = Refusals(listener)
        self._tokens = tokens
        self._next_move_at = 0.0
        self._may_disconnect = threading.Event()
        self._disconnecting: Future[None] | None = None

    def stop(self) -> None:
        """Receive only messages that have already arrived. Returns at once; the stream stays open
        until `allow_disconnect`."""
        self._stopping.set()
        self.thread.stop()
        if self._disconnecting is None:
            self._disconnecting = call_in_thread("disconnect", self._disconnect)

    def allow_disconnect(self) -> None:
        """Let the stream close: the received messages are recorded, or will not be waited for."""
        self._may_disconnect.set()

    @property
    def has_disconnected(self) -> bool:
        """Whether the stream is closed: Salesforce confirmed it, or did not answer."""
        return self._disconnecting is not None and self._disconnecting.done()

    def _receive_or_end(self) -> object:
        """Do one step of a session: open it, or receive once."""
        try:
            self._open_or_receive()
        except TRANSIENT as error:
            metrics.interrupted(self._listener.name, error)
            connection.close()
            self._wait(f"the database does not answer: {error}", backoff().delay(1))
        except StreamClosed:
            return OVER  # stopped
        except LeaseLost:
            log.info("receiving ended: the lease was lost", listener=self._listener.name)
            return OVER
        except (LoginGivenUp, SecretUnavailable) as error:
            metrics.interrupted(self._listener.name, error, Reaction.CONFIGURATION)
            self._fail(str(error))
        except Exception as error:  # it may be temporary: show it as the reason, and retry
            metrics.interrupted(self._listener.name, error)
            self._failures += 1
            self._stream.forget()
            reason = f"unexpected error {type(error).__name__}; see the log of the listener process"
            self._wait(reason, backoff().delay(self._failures))
            raise
        return OVER if self._stopping.is_set() else None

    def _end_receiving(self) -> None:
        """Receive the messages that have already arrived: delivered again, they would count twice
        against the daily limit."""
        try:
            with suppress(SalesforceError, LeaseLost):
                while self._stopping.is_set() and self.status.state is State.RECEIVING:
                    self._receive()
        finally:
            metrics.RECEIVING.labels(self._listener.name).set(0)

    def _disconnect(self) -> None:
        try:
            self._stream.leave()
            self._may_disconnect.wait()
            self._stream.close()
        except Exception:  # Salesforce ends the session by itself, after a while
            log.exception("unexpected error", thread="disconnect", listener=self._listener.name)

    def _open_or_receive(self) -> None:
        try:
            if not (self._stream.is_open or self._stream.has_result_ready):
                self._open()
            self.session.store_beginning()
            self._receive()
        except StreamClosed:
            raise
        except SalesforceError as error:
            metrics.interrupted(self._listener.name, error)
            self._buffer.cancel()
            self._handle_salesforce_error(error)

    def _handle_salesforce_error(self, error: SalesforceError) -> None:
        match error:
            case MalformedAnswer():
                raw, why = error.raw, error.why
                quarantine_answer(self._listener, self._lease, raw, why, timezone.now())
                self._retry_or_fail(error)
            case ReplayLost():
                self._handle_replay_lost(error)
            case _:
                self._retry_or_fail(error)

    def _open(self) -> None:
        """Subscribe from the stored position, once all received messages are recorded."""
        self._set(State.CONNECTING, self.status.reason)
        self._buffer.wait_until_recorded()
        self._empty_answers = 0
        begun = self.session.open(self._tokens.get().org_id)
        crash_points.reach("subscribed")
        metrics.OPENED.labels(self._listener.name).inc()
        self._refusals.opened(self._stream.has_replay, timezone.now())
        self.opened_at = database_clock.estimate()
        log.info("subscribed", listener=self._listener.name, replay=begun)

    def _receive(self) -> None:
        self._set(State.RECEIVING)
        connection.close()  # a poll is held for minutes, and a server takes few connections
        messages = self.session.poll()
        self.last_received_at = now = database_clock.estimate()
        self._note_caught_up(not messages, now)
        self._set(State.RECEIVING)
        self._note_progress(bool(messages))
        self._refusals.received(now)
        received = [
            Message(message, now, is_before_start(message, self.session.listening_since))
            for message in messages
        ]
        if self._empty_answers >= 2 or not all(message.is_before_start for message in received):
            self.session.listening_since = None  # all later messages count as new
        if received:
            self.last_message_at = time.monotonic()
            crash_points.reach("received")
            metrics.RECEIVED.labels(self._listener.name).inc(len(received))
            self._buffer.put(received, self._stream.polled_bytes)
        elif self._stream.newest and time.monotonic() >= self._next_move_at:
            self._next_move_at = time.monotonic() + MOVE_SECONDS
            self._buffer.put([KeepAlive(self._stream.newest, now)])
        elif self._buffer.is_held_back and self._empty_answers >= 2:
            self._buffer.put([KeepAlive("", now)])

    def _note_caught_up(self, is_empty: bool, now: datetime) -> None:
        """After two empty responses in a row with nothing left to record, the listener has caught
        up.

        A single one may come before the changes that a new subscription replays. A response that
        names a replay id is recorded as a KeepAlive instead.
        """
        has_rest = not is_empty or self._buffer.outstanding
        self._empty_answers = 0 if has_rest else self._empty_answers + 1
        if self._empty_answers >= 2:
            self.caught_up_at = now

    def _note_progress(self, has_messages: bool) -> None:
        """Forget failures once the session is stable; messages before that shorten the back-off."""
        if time.monotonic() - (self._stream.subscribed_at or 0) >= STABLE_SECONDS:
            self._failures = 0
        elif has_messages:
            self._failures = min(self._failures, 3)

    def _handle_replay_lost(self, lost: ReplayLost) -> None:
        """Open an incident for the refused position, then follow the listener's policy."""
        replay_lost.record(self._listener, self._lease, lost, timezone.now())
        if self.session.stops_when_lost:
            self._end(str(lost))
            return
        self._failures += 1
        self._wait(str(lost), pause_after(lost, self._failures))

    def _retry_or_fail(self, error: SalesforceError) -> None:
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
        self._stopping.wait(seconds)

    def _end(self, reason: str) -> None:
        log.error("listener stopped", listener=self._listener.name, reason=reason)
        self._set(State.FAILED, reason)
        self._stopping.set()

    def _fail(self, reason: str) -> None:
        """End, with an incident unless another process has the listener: it may still receive."""
        self._end(reason)
        with suppress_transient_errors("open an incident"):
            if Position.objects.held(self._lease).exists():
                incidents.open_stopped(self._listener.pk, reason, timezone.now())

    def _set(self, state: Position.State, reason: str = "") -> None:
        if self.status != Status(state, reason):
            self.status = Status(state, reason)
        metrics.RECEIVING.labels(self._listener.name).set(state == State.RECEIVING)
