"""A listener that this process runs: its lease, its two threads and the buffer between them."""

from __future__ import annotations

import time
from datetime import datetime

from django.conf import settings

from consumer import incidents
from consumer.ingest.position import note_unrecorded
from consumer.stream.buffer import Buffer
from consumer.stream.login_guard import CarefulTokens
from consumer.stream.publisher import Publisher
from consumer.stream.receiver import Receiver, Status
from consumer.stream.recorder import Recorder
from listeners.clock import database_clock
from listeners.leases import Lease
from listeners.listener_state import STALLED, longest_silence
from listeners.models import Listener, Position
from listeners.salesforce.protocol import EventStream

State = Position.State

#: Between two notes of when Salesforce was last heard.
NOTE_SECONDS = 3.0


class HostedListener:
    def __init__(
        self,
        listener: Listener,
        lease: Lease,
        tokens: CarefulTokens,
        stream: EventStream,
        publisher: Publisher,
    ) -> None:
        self.listener = listener
        self.lease = lease
        self.fingerprint = listener.fingerprint
        self._buffer = Buffer(limit=2 * settings.CDC_BATCH_MAX)
        self.receiver = Receiver(listener, lease, tokens, stream, self._buffer)
        self.recorder = Recorder(listener, lease, self._buffer, publisher, stream.recorded)
        self._longest_silence = longest_silence(listener)
        self._written: Status | None = None
        self._noted: datetime | None = None
        self._noted_at = 0.0
        self.started_at = time.monotonic()
        self.lease_is_lost = False
        self.leave_by = float("inf")

    def start(self) -> None:
        self.recorder.start()
        self.receiver.start()

    # Queries

    @property
    def has_ended(self) -> bool:
        """A thread is gone: it failed, the lease was lost, or something unforeseen ended it."""
        return not (self.receiver.is_alive and self.recorder.is_alive)

    @property
    def is_receiving(self) -> bool:
        signs = (self.receiver.last_received_at, self.receiver.opened_at)
        heard = max(filter(None, signs), default=None)
        return (
            self.receiver.status.state == State.RECEIVING
            and not self.has_ended
            and not self.recorder.is_stuck
            and (
                heard is None
                or (database_clock.estimate() - heard).total_seconds() < self._longest_silence
            )
        )

    @property
    def state(self) -> str:
        """As readiness tells it."""
        return STALLED if self.recorder.is_stuck else self.receiver.status.state.value

    @property
    def outstanding(self) -> int:
        """Messages received and not recorded yet."""
        return self._buffer.outstanding

    @property
    def recorded(self) -> int:
        """Changes recorded."""
        return self.recorder.recorded

    @property
    def has_said_goodbye(self) -> bool:
        return self.receiver.has_said_goodbye

    # Mutators

    def note_status(self) -> bool:
        """Write down how it does, when that changed or Salesforce was heard a while ago.

        False when another process has the listener. Raises the database's errors.
        """
        if self.recorder.is_stuck:  # and has the position's row locked, perhaps
            self._note_stuck()
            return True
        status = self.receiver.status
        heard = self.receiver.last_received_at
        is_due = heard != self._noted and time.monotonic() - self._noted_at >= NOTE_SECONDS
        return (status == self._written and not is_due) or self._write(status)

    def _note_stuck(self) -> None:
        if time.monotonic() - self._noted_at >= NOTE_SECONDS:
            self._noted_at = time.monotonic()
            note_unrecorded(self.lease, self.recorder.blocked_for)

    def _write(self, status: Status, **more: object) -> bool:
        heard = self.receiver.last_received_at
        changes: dict[str, object] = more if heard is None else {"last_received_at": heard, **more}
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
        if changes and not Position.objects.held(self.lease).update(**changes):
            return False
        if status.state == State.RECEIVING and status != self._written:
            incidents.started(self.listener.pk, database_clock.now())
        self._written = status
        self._noted, self._noted_at = heard, time.monotonic()
        return True

    def leave(self, by: float) -> None:
        """Receive nothing more; record and publish what was received, until `by`."""
        self.leave_by = by
        self.receiver.stop()

    def has_left(self) -> bool:
        """Whether its threads have ended; sees to it that they do, once they are done or late."""
        is_late = time.monotonic() >= self.leave_by
        if is_late or not self.receiver.is_alive:
            self._buffer.close()
        if is_late:
            self.recorder.abandon()
        has_ended = not (self.receiver.is_alive or self.recorder.is_alive)
        if has_ended or is_late:
            self.receiver.hang_up()
        # The next process is turned away for as long as this one hears a managed subscription.
        is_heard = bool(self.listener.subscription) and not self.has_said_goodbye
        return has_ended and (is_late or not is_heard)

    def release(self) -> None:
        """Give the lease back with the last word on how the listener did."""
        free = {"holder": "", "lease_until": None}
        status = self.receiver.status
        if status.state == State.FAILED:
            self._write(status, failed_fingerprint=self.fingerprint, **free)
        else:
            self._write(Status(State.STOPPED), **free)
