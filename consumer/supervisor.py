"""Hosts listeners: takes leases, starts and stops threads, takes up changes of configuration."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.utils import timezone

from cdcproject.broker import ensure_embedded_broker
from consumer import relay, troubles
from consumer.hosted import RENEW_SECONDS, HostedListener
from consumer.logins import Logins
from handlers import dispatch
from listeners.leases import LEASE, Lease
from listeners.logins import session_for
from listeners.models import Listener, Position
from listeners.salesforce.errors import SalesforceError
from listeners.secrets import SecretUnavailable

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.25
REHOST_SECONDS = 5.0
LEASE_PATIENCE = LEASE.total_seconds() + 3.0
CONFIGURATION_SECONDS = 1.0
RELAY_SECONDS = 1.0
#: SIGTERM to exit stays under 15 s.
DRAIN_SECONDS = 10.0
SETTLE_SECONDS = 2.0

EXIT_OK = 0
EXIT_ALL_FAILED = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """When to end by itself: after so many idle seconds, or so many recorded changes."""

    idle_seconds: float | None = None
    max_events: int | None = None


class Supervisor:
    """One per process. `names` empty: every enabled listener."""

    def __init__(self, names: Sequence[str] = (), limits: Limits | None = None) -> None:
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._names = list(names)
        self._limits = limits or Limits()
        self._asked_to_stop = False
        self._stop = threading.Event()
        self._logins = Logins(self._stop.wait)
        self._hosted: dict[int, HostedListener] = {}
        self._recorded_before = 0
        self._started_at = timezone.now()
        self._began_at = self._busy_at = time.monotonic()
        self._wanted: list[Listener] = []
        self._failed: set[int] = set()
        self._not_before: dict[int, float] = {}
        self._relay = threading.Thread(target=self._run_relay, name="relay", daemon=True)
        self._ended = threading.Event()
        self._renewer = threading.Thread(target=self._renew_leases, name="leases", daemon=True)

    # Queries

    def is_receiving(self) -> bool:
        """Whether this process hosts listeners and each of them receives."""
        hosted = list(self._hosted.values())
        return bool(hosted) and all(one.is_receiving for one in hosted)

    def states(self) -> dict[str, str]:
        return {one.listener.name: one.receiver.status.state for one in list(self._hosted.values())}

    @property
    def recorded(self) -> int:
        """Changes recorded by this process."""
        return self._recorded_before + sum(h.recorder.recorded for h in self._hosted.values())

    # Running

    def stop(self) -> None:
        """Ask it to end: drain, save, release.

        Safe in a signal handler: setting an event there could wait for a lock that the
        interrupted code holds.
        """
        self._asked_to_stop = True

    def run(self) -> int:
        """Until stopped or a limit is reached; the exit code."""
        self._relay.start()
        self._renewer.start()
        code = EXIT_OK
        looked_at = float("-inf")
        try:
            while not self._asked_to_stop:
                with self._database():
                    if time.monotonic() - looked_at >= CONFIGURATION_SECONDS:
                        looked_at = time.monotonic()
                        self._take_up_configuration()
                    self._keep_leases()
                    if self._all_failed():
                        code = EXIT_ALL_FAILED
                        break
                    if self._is_finished():
                        break
                time.sleep(TICK_SECONDS)
        finally:
            self._stop.set()
            self._let_go(list(self._hosted.values()))
            self._logins.settle(SETTLE_SECONDS)
            self._ended.set()
            self._renewer.join(2)
            self._relay.join(2)
        return code

    def _take_up_configuration(self) -> None:
        self._wanted = self._configured()
        wanted = {listener.pk: listener.fingerprint for listener in self._wanted}
        changed = [h for pk, h in self._hosted.items() if wanted.get(pk) != h.fingerprint]
        if changed:
            log.info("configuration changed", listeners=[h.listener.name for h in changed])
            self._let_go(changed)
        self._failed = self._failed_since_start()
        for listener in self._wanted:
            if listener.pk in self._hosted or listener.pk in self._failed:
                continue
            if time.monotonic() >= self._not_before.get(listener.pk, 0.0):
                self._host(listener)

    def _configured(self) -> list[Listener]:
        listeners = Listener.objects.filter(enabled=True).select_related("connection")
        if self._names:
            listeners = listeners.filter(name__in=self._names)
        return list(listeners)

    def _failed_since_start(self) -> set[int]:
        """Listeners that an operator must correct first; a new process tries each once more."""
        fingerprints = {listener.pk: listener.fingerprint for listener in self._wanted}
        positions = Position.objects.filter(
            state=Position.State.FAILED,
            listener__in=fingerprints,
            state_since__gte=self._started_at,
        )
        return {p.pk for p in positions if p.failed_fingerprint == fingerprints[p.pk]}

    def _host(self, listener: Listener) -> None:
        lease = Position.objects.acquire(listener.pk, self.holder)
        if lease is None:
            return
        try:
            tokens = self._logins.of(listener)
            http = session_for(listener.connection)
        except (SecretUnavailable, SalesforceError) as error:
            self._fail(listener, lease, str(error))
            return
        except Exception as error:  # stored past its validation: one row, one listener
            log.exception("unforeseen", listener=listener.name)
            kind = type(error).__name__
            self._fail(listener, lease, f"the connection's settings cannot be used ({kind})")
            return
        log.info("listener started", listener=listener.name, channel=listener.channel)
        hosted = HostedListener(listener, lease, tokens, http)
        self._hosted[listener.pk] = hosted
        self._busy_at = time.monotonic()
        hosted.start()

    @staticmethod
    def _fail(listener: Listener, lease: Lease, reason: str) -> None:
        log.error("listener stopped", listener=listener.name, reason=reason)
        Position.objects.held(lease).update(
            state=Position.State.FAILED,
            reason=reason,
            state_since=timezone.now(),
            failed_fingerprint=listener.fingerprint,
        )
        Position.objects.release(lease)
        troubles.stopped(listener.pk, reason, timezone.now())

    def _keep_leases(self) -> None:
        for hosted in list(self._hosted.values()):
            if hosted.has_ended:
                # Whatever ended it may end it again: not in a tight loop.
                self._not_before[hosted.listener.pk] = time.monotonic() + REHOST_SECONDS
                self._let_go([hosted])
            elif not hosted.keep_lease():
                log.warning("another process has the listener", listener=hosted.listener.name)
                self._let_go([hosted])

    def _renew_leases(self) -> None:
        """Apart from the rest: while one listener is drained, the others keep their leases, and it
        keeps its own."""
        try:
            while not self._ended.wait(RENEW_SECONDS):
                for hosted in list(self._hosted.values()):
                    with self._database():
                        hosted.renew()
        finally:
            connection.close()

    def _let_go(self, several: Sequence[HostedListener]) -> None:
        """Stop listeners side by side: what they received is recorded and published."""
        for hosted in several:
            hosted.interrupt()
        deadline = time.monotonic() + DRAIN_SECONDS
        for hosted in several:
            if not hosted.drain(max(0.5, deadline - time.monotonic())):
                log.warning("not drained in time; it comes again", listener=hosted.listener.name)
            with self._database():
                hosted.release()
            self._recorded_before += hosted.recorder.recorded
            self._hosted.pop(hosted.listener.pk, None)

    # Ends

    def _all_failed(self) -> bool:
        return (
            bool(self._wanted)
            and not self._hosted
            and self._failed == {listener.pk for listener in self._wanted}
        )

    def _is_finished(self) -> bool:
        limits = self._limits
        if limits.max_events is not None and self.recorded >= limits.max_events:
            return not relay.has_work(timezone.now())
        if limits.idle_seconds is None:
            return False
        if self._is_busy():
            self._busy_at = time.monotonic()
        return time.monotonic() - self._busy_at >= limits.idle_seconds

    def _is_busy(self) -> bool:
        """Something is received, being recorded, waiting to be published, or not yet heard."""
        for hosted in self._hosted.values():
            heard = hosted.receiver.last_message_at
            if not hosted.is_receiving or hosted.outstanding:
                return True
            if heard is not None and heard > self._busy_at:
                return True
        return self._is_restarting() or relay.has_work(timezone.now())

    def _is_restarting(self) -> bool:
        """A listener ended unforeseen and has not been started again."""
        missing = {listener.pk for listener in self._wanted} - set(self._hosted) - self._failed
        now = time.monotonic()
        # The lease of a process that was killed has to run out before it is known to be dead.
        if missing and now - self._began_at < LEASE_PATIENCE:
            return True
        return any(now < self._not_before.get(pk, 0.0) for pk in missing)

    # The database and the relay

    @contextmanager
    def _database(self) -> Iterator[None]:
        """A database that does not answer is waited for: receivers and leases go on after it."""
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            log.warning("the database does not answer", reason=str(error).strip())
            connection.close()

    def _run_relay(self) -> None:
        swept_at = time.monotonic()
        try:
            while not self._stop.wait(RELAY_SECONDS):
                try:
                    relay.publish_due(timezone.now())
                    if time.monotonic() - swept_at >= settings.CDC_SWEEP_SECONDS:
                        swept_at = time.monotonic()
                        relay.sweep(timezone.now())
                except dispatch.BrokerUnavailable as error:
                    log.warning("published later", reason=str(error))
                    self._revive_broker()
                except (DatabaseError, InterfaceError) as error:
                    log.warning("the database refuses", reason=str(error).strip())
                    connection.close()
        finally:
            connection.close()

    def _revive_broker(self) -> None:
        try:
            ensure_embedded_broker()
        except RuntimeError as error:
            log.warning("no broker", reason=str(error))
