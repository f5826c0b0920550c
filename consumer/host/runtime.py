"""A listener that runs in this process: its lease, its two threads and the buffer between them; and
the listeners that are drained before their leases are released."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime

import structlog
from django.conf import settings

from audit.db.retry import TRANSIENT
from consumer import incidents
from consumer.ingest.position import note_unrecorded
from consumer.stream.buffer import Buffer
from consumer.stream.login_guard import GuardedTokens
from consumer.stream.publisher import Publisher
from consumer.stream.receiver import Receiver, Status
from consumer.stream.recorder import Recorder
from listeners.clock import database_clock
from listeners.leases import Lease
from listeners.listener_state import STALLED, longest_silence
from listeners.models import Listener, Position
from listeners.salesforce.protocol import EventStream

log = structlog.get_logger(__name__)

State = Position.State

#: Seconds between two writes of when Salesforce last answered.
NOTE_SECONDS = 3.0
#: Seconds that an abandoned listener's threads get to end.
GRACE_SECONDS = 1.0


class HostedListener:
    """One running listener."""

    def __init__(
        self,
        listener: Listener,
        lease: Lease,
        tokens: GuardedTokens,
        stream: EventStream,
        publisher: Publisher,
    ) -> None:
        self.listener = listener
        self.lease = lease
        self.fingerprint = listener.fingerprint
        self._buffer = Buffer(limit=2 * settings.CDC_BATCH_MAX)
        self.receiver = Receiver(listener, lease, tokens, stream, self._buffer)
        self._mark = self.receiver.session.mark
        self.recorder = Recorder(
            listener,
            lease,
            self._buffer,
            publisher,
            on_commit=stream.recorded,
            on_commits_lost=self._mark.clear,
        )
        self._longest_silence = longest_silence(listener)
        self._written: Status | None = None
        self._written_received_at: datetime | None = None
        self._written_at = 0.0
        self.started_at = time.monotonic()
        self.lease_is_lost = False
        self.drain_by = float("inf")

    def start(self) -> None:
        self.recorder.thread.start()
        self.receiver.thread.start()

    # Queries

    @property
    def has_ended(self) -> bool:
        """Whether a thread has ended: it failed, or lost the lease."""
        return not (self.receiver.thread.is_alive() and self.recorder.thread.is_alive())

    @property
    def is_receiving(self) -> bool:
        answers = (self.receiver.last_received_at, self.receiver.opened_at)
        last_answer = max(filter(None, answers), default=None)
        return (
            self.receiver.status.state == State.RECEIVING
            and not self.has_ended
            and not self.recorder.is_stuck
            and not self.recorder.thread.step.keeps_failing
            and (
                last_answer is None
                or (database_clock.estimate() - last_answer).total_seconds() < self._longest_silence
            )
        )

    @property
    def state(self) -> str:
        """The state that the readiness endpoint shows."""
        return STALLED if self.recorder.is_stuck else self.receiver.status.state.value

    @property
    def outstanding(self) -> int:
        """The number of messages that were received and not recorded yet."""
        return self._buffer.outstanding

    # Mutators

    def note_status(self) -> bool:
        """Write the listener's status to its position, if it changed, and every NOTE_SECONDS when
        Salesforce last answered.

        Return False when another process has the listener. Raises the database's errors.
        """
        if self.recorder.is_stuck:  # it may hold the lock on the position's row
            self._note_stuck()
            return True
        self._mark.sync()
        status = self.receiver.status
        is_due = (
            self.receiver.last_received_at != self._written_received_at
            and time.monotonic() - self._written_at >= NOTE_SECONDS
        )
        return (status == self._written and not is_due) or self._write(status)

    def _note_stuck(self) -> None:
        if time.monotonic() - self._written_at >= NOTE_SECONDS:
            self._written_at = time.monotonic()
            note_unrecorded(self.lease, self.recorder.blocked_for)

    def _write(self, status: Status, **more: object) -> bool:
        received_at = self.receiver.last_received_at
        changes: dict[str, object] = dict(more)
        if received_at is not None:
            changes["last_received_at"] = received_at
        if self.receiver.caught_up_at is not None:
            changes["caught_up_at"] = self.receiver.caught_up_at
            if not self.outstanding:
                changes["unrecorded_since"] = None
        if status != self._written:
            changes |= {
                "state": status.state,
                "reason": status.reason,
                "state_since": database_clock.now(),
            }
            # With the state, not later: a check that succeeds in between clears it.
            if status.state == State.FAILED:
                changes["failed_fingerprint"] = self.fingerprint
        if changes and not Position.objects.held(self.lease).update(**changes):
            return False
        if status.state == State.RECEIVING and status != self._written:
            incidents.close_stopped(self.listener.pk, database_clock.now())
        self._written = status
        self._written_received_at, self._written_at = received_at, time.monotonic()
        return True

    def note_lease_lost(self) -> None:
        """Note that the lease is lost: the database may have lost commits with it."""
        with suppress(*TRANSIENT):  # the release tries again
            self._mark.clear()

    def drain(self, by: float) -> None:
        """Stop receiving; record and publish what was received, until `by`."""
        self.drain_by = by
        self.receiver.stop()

    def is_drained(self) -> bool:
        """Advance the draining, and return whether the listener's threads have ended."""
        is_late = time.monotonic() >= self.drain_by
        if is_late or not self.receiver.thread.is_alive():
            self._buffer.close()
        if is_late:
            self.recorder.abandon()
        has_ended = not (self.receiver.thread.is_alive() or self.recorder.thread.is_alive())
        if has_ended or is_late:
            self.receiver.allow_disconnect()
        # Salesforce refuses the next process while this one has the managed subscription open.
        is_subscribed = bool(self.listener.subscription) and not self.receiver.has_disconnected
        return has_ended and (is_late or not is_subscribed)

    def release(self) -> None:
        """Release the lease, and write the listener's final state."""
        status = self.receiver.status
        self._mark.sync()
        final = status if status.state == State.FAILED else Status(State.STOPPED)
        if not self._write(final, holder="", lease_until=None):
            self.note_lease_lost()


class DrainingListeners:
    """The listeners that are being drained, in parallel: a slow one does not delay the others."""

    def __init__(self) -> None:
        self._draining: list[HostedListener] = []
        self._disconnecting: list[HostedListener] = []

    def __iter__(self) -> Iterator[HostedListener]:
        """Iterate over the listeners that still record, or could."""
        return iter(list(self._draining))

    def __bool__(self) -> bool:
        return bool(self._draining)

    def begin(self, several: Iterable[HostedListener], by: float) -> None:
        """Stop receiving, and record until `by` on the monotonic clock."""
        for hosted in several:
            hosted.drain(by)
            self._draining.append(hosted)

    def limit(self, by: float) -> None:
        """Let no listener drain for longer than until `by`."""
        for hosted in self._draining:
            hosted.drain_by = min(hosted.drain_by, by)

    def pop_drained(self) -> list[HostedListener]:
        """Return the listeners that were drained since the last call; their leases can be
        released."""
        drained = [hosted for hosted in self._draining if self._is_drained(hosted)]
        self._draining = [hosted for hosted in self._draining if hosted not in drained]
        leaving = [*self._disconnecting, *drained]
        self._disconnecting = [hosted for hosted in leaving if not hosted.receiver.has_disconnected]
        return drained

    def wait_for_disconnects(self, by: float) -> None:
        """Wait until all have disconnected from Salesforce, or until `by`."""
        while time.monotonic() < by and not all(
            hosted.receiver.has_disconnected for hosted in self._disconnecting
        ):
            time.sleep(0.02)

    @staticmethod
    def _is_drained(hosted: HostedListener) -> bool:
        if hosted.is_drained():
            return True
        if time.monotonic() < hosted.drain_by + GRACE_SECONDS:
            return False
        log.warning(
            "listener not drained in time; its unrecorded changes will be received again",
            listener=hosted.listener.name,
        )
        return True
