"""A listener that this process runs: its lease, its two threads and the buffer between them."""

from __future__ import annotations

import time

import requests
from django.conf import settings
from django.utils import timezone

from audit.models import Incident
from consumer.buffer import Buffer
from consumer.logins import CarefulTokens
from consumer.receiver import Receiver, Status
from consumer.recorder import Recorder
from listeners.leases import Lease
from listeners.models import Listener, Position
from listeners.standing import longest_silence

State = Position.State

RENEW_SECONDS = 3.0


class HostedListener:
    def __init__(
        self,
        listener: Listener,
        lease: Lease,
        tokens: CarefulTokens,
        http: requests.Session,
    ) -> None:
        self.listener = listener
        self.lease = lease
        self.fingerprint = listener.fingerprint
        self._buffer = Buffer(limit=10 * settings.CDC_BATCH_MAX)
        self.receiver = Receiver(listener, lease, tokens, http, self._buffer)
        self.recorder = Recorder(listener, lease, self._buffer)
        self._longest_silence = longest_silence(listener)
        self._written: Status | None = None
        self._renewed_at = 0.0

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
        heard = self.receiver.last_received_at
        return (
            self.receiver.status.state == State.RECEIVING
            and not self.has_ended
            and (heard is None or (timezone.now() - heard).total_seconds() < self._longest_silence)
        )

    @property
    def outstanding(self) -> int:
        """Messages received and not recorded yet."""
        return self._buffer.outstanding

    # Mutators

    def keep_lease(self) -> bool:
        """Renew the lease and write the status down, when it is time or something changed.

        False when another process has the listener. Raises the database's errors.
        """
        status = self.receiver.status
        now = time.monotonic()
        if status == self._written and now - self._renewed_at < RENEW_SECONDS:
            return True
        if not Position.objects.renew(self.lease):
            return False
        self._renewed_at = now
        self._write(status)
        return True

    def renew(self) -> None:
        """Push the lease's end back, from any thread. Whether it was lost, keep_lease finds."""
        Position.objects.renew(self.lease)

    def _write(self, status: Status, **more: object) -> None:
        changes: dict[str, object] = {"last_received_at": self.receiver.last_received_at, **more}
        if changes["last_received_at"] is None:
            del changes["last_received_at"]
        if status != self._written:
            changes |= {
                "state": status.state,
                "reason": status.reason,
                "state_since": timezone.now(),
            }
        if changes:
            Position.objects.held(self.lease).update(**changes)
        if status.state == State.RECEIVING and status != self._written:
            Incident.objects.close(self.listener.pk, Incident.Kind.CONFIGURATION, timezone.now())
        self._written = status

    def interrupt(self) -> None:
        """Begin to stop: nothing more is received."""
        self.receiver.stop()

    def drain(self, seconds: float) -> bool:
        """Record and publish what was received; whether all of it was done in time."""
        self.receiver.stop()
        deadline = time.monotonic() + seconds
        self.receiver.join(seconds)
        self._buffer.close()
        if self.recorder.join(max(1.0, deadline - time.monotonic())):
            return True
        self.recorder.abandon()
        return self.recorder.join(1.0)

    def release(self) -> None:
        """Give the lease back with the last word on how the listener did."""
        status = self.receiver.status
        if status.state == State.FAILED:
            self._write(status, failed_fingerprint=self.fingerprint)
        else:
            self._write(Status(State.STOPPED))
        Position.objects.release(self.lease)
