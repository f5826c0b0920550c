"""The supervisor of a listener process: takes leases, starts and drains listeners, and applies
changes of the configuration."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from datetime import datetime

import structlog
from django.conf import settings

from audit.db.paused_copies import PausedCopies
from audit.db.prepared import Prepared
from audit.db.retry import suppress_transient_errors
from audit.internal_errors import step
from audit.models import AuditLogEntry
from consumer import relay
from consumer.host.assignment import Assignment, Standby, new_holder
from consumer.host.couriers import Couriers
from consumer.host.runtime import GRACE_SECONDS, DrainingListeners, HostedListener
from consumer.host.senders import Senders
from consumer.host.start import Hosting, failed_since
from consumer.host.threads import alerts_thread, lease_keeper, relay_thread, watch_thread
from consumer.stream import metrics
from consumer.stream.login_guard import Logins
from consumer.stream.publisher import Publisher
from handlers.models import Delivery, DeliveryAttempt, Handover
from listeners.backoff import Backoff
from listeners.clock import database_clock
from listeners.leases import LEASE
from listeners.models import Listener, Position
from listeners.threads import OVER, BackgroundThread, for_each

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.25
REFRESH_SECONDS = 1.0
REHOST_SECONDS = 5.0
LEASE_TIMEOUT = LEASE.total_seconds() + 3.0
#: Seconds after which a process that is suspended inside a transaction loses its locks. Shorter
#: than a lease: another process can then take its listeners.
PAUSED_SECONDS = 8.0
#: Time limits of the shutdown's steps, each for all listeners together. SIGTERM to exit stays under
#: 14 s.
DRAIN_SECONDS = 8.5
RELEASE_SECONDS = 1.5
SETTLE_SECONDS = 1.0
JOIN_SECONDS = 1.0

_ENABLED = Prepared(lambda: Listener.objects.filter(enabled=True).select_related("connection"))
_POSITIONS = Prepared(lambda: Position.objects.with_life().filter(listener__enabled=True))

EXIT_OK = 0
EXIT_ALL_FAILED = 3


class Supervisor:
    """Runs the named listeners, or all enabled ones if `names` is empty. One per process.

    It exits after `idle_seconds` without work, or after `max_events` recorded changes; None: no
    limit.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        *,
        idle_seconds: float | None = None,
        max_events: int | None = None,
    ) -> None:
        self.holder = new_holder()
        self._names = list(names)
        self._idle_seconds, self._max_events = idle_seconds, max_events
        self._asked_to_stop = False
        self._stop = threading.Event()
        self._logins = Logins(self._stop.wait)
        self._assignment = Assignment(self.holder, self._names)
        self._publisher = Publisher()
        self._senders = Senders()
        self._hosting = Hosting(self.holder, self._logins, self._assignment, self._publisher)
        self._hosted: dict[int, HostedListener] = {}
        self._draining_listeners = DrainingListeners()
        self._recorded_before = 0
        self._started_at: datetime | None = None
        self._began_at = self._busy_at = time.monotonic()
        self._refresh_at = self._hand_over_at = self._began_at
        self._wanted: dict[int, Listener] = {}
        self._standby = Standby(self.holder)
        self._paused_copies = PausedCopies(
            (AuditLogEntry, Delivery, DeliveryAttempt, Handover), PAUSED_SECONDS
        )
        self._failed: set[int] = set()
        self._not_before: dict[int, float] = {}
        # Each may wait for the broker, for Salesforce or for another server.
        self._couriers = Couriers()
        self._helpers = (relay_thread(), watch_thread(), alerts_thread(), self._couriers)
        self._keeper = lease_keeper(self._holding)
        self._code: int | None = None
        self._main = BackgroundThread(
            step(
                "supervisor",
                self._supervise,
                "Listeners are not started and stopped, and changes of the configuration do not "
                "take effect.",
                backoff=Backoff(TICK_SECONDS, 2.0),
            ),
            every=TICK_SECONDS,
        )

    # Queries

    def is_receiving(self) -> bool:
        """Whether this process hosts listeners and each of them receives."""
        hosted = list(self._hosted.values())
        return bool(hosted) and all(listener.is_receiving for listener in hosted)

    def is_standing_by(self) -> bool:
        """Whether this process runs no listener because other processes receive all of them that
        have not failed."""
        is_served = self._standby.is_served(time.monotonic())
        return is_served and not self._hosted and not self._asked_to_stop

    def states(self) -> dict[str, str]:
        return {hosted.listener.name: hosted.state for hosted in list(self._hosted.values())}

    @property
    def recorded(self) -> int:
        """The number of changes that this process recorded."""
        return self._recorded_before + sum(hosted.recorder.recorded for hosted in self._holding())

    def _holding(self) -> list[HostedListener]:
        """Return the listeners whose leases this process holds, also those being drained."""
        return [*list(self._hosted.values()), *self._draining_listeners]

    # Running

    def stop(self) -> None:
        """Ask the process to end: drain, save the positions, release the leases.

        Only sets a flag, since it is called in a signal handler: setting an event there could wait
        for a lock that the interrupted code holds.
        """
        self._asked_to_stop = True

    def run(self) -> int:
        """Run until stopped or until a limit is reached; return the exit code."""
        for thread in (*self._helpers, self._keeper, self._publisher.thread, self._senders):
            thread.start()
        try:
            if self._main.step() is not OVER:  # at once, then every TICK_SECONDS
                self._main.run()
        finally:
            self._end()
        return self._code or EXIT_OK

    def _supervise(self) -> object:
        if not self._asked_to_stop:
            self._code = self._tick()
        return None if self._code is None and not self._asked_to_stop else OVER

    def _tick(self) -> int | None:
        """Do one round of supervision; return the exit code when the process should end."""
        self._release_drained()
        if time.monotonic() >= self._refresh_at:
            self._refresh_at = time.monotonic() + REFRESH_SECONDS
            self._refresh()
            self._paused_copies.end(time.monotonic())
            self._stop_changed()
            self._start_assigned()
            self._hand_over_one()
        self._check_hosted()
        if self._have_all_failed():
            return EXIT_ALL_FAILED
        return EXIT_OK if self._is_finished() else None

    def _refresh(self) -> None:
        """Read the configured listeners, their positions and the live processes."""
        if self._started_at is None:
            self._started_at = database_clock.read()
        enabled: list[Listener] = _ENABLED.objects()
        positions = {position.pk: position for position in _POSITIONS.objects()}
        names = self._names
        wanted = [listener for listener in enabled if not names or listener.name in names]
        self._wanted = {listener.pk: listener for listener in wanted}
        prints = {listener.pk: listener.fingerprint for listener in wanted}
        self._failed = failed_since(self._started_at, positions, prints)
        # No process runs a failed listener, until it is corrected.
        self._standby.refresh(self._wanted.keys() - self._failed, positions, time.monotonic())
        self._assignment.refresh(enabled, positions, self._failed | self._hosting.unfit(prints))
        self._hosting.reconsider(self._wanted)

    def _stop_changed(self) -> None:
        wanted = {pk: listener.fingerprint for pk, listener in self._wanted.items()}
        changed = [
            hosted for pk, hosted in self._hosted.items() if wanted.get(pk) != hosted.fingerprint
        ]
        if changed:
            names = [hosted.listener.name for hosted in changed]
            log.info("configuration changed", listeners=names)
            self._drain(changed)

    def _start_assigned(self) -> None:
        now = time.monotonic()
        # A listener whose lease expired while this process was paused looks free, and still runs
        # here.
        here = {hosted.listener.pk for hosted in self._holding()}
        due = [
            self._wanted[pk]
            for pk in sorted((self._assignment.to_take() & self._wanted.keys()) - here)
            if now >= self._not_before.get(pk, 0.0)
        ]
        for hosted in self._hosting.start(due):
            self._hosted[hosted.listener.pk] = hosted
            self._busy_at = now

    def _hand_over_one(self) -> None:
        """Hand one listener over, if another process has fewer."""
        now = time.monotonic()
        if self._draining_listeners or now < self._hand_over_at:
            return
        movable = [self._hosted[pk] for pk in self._assignment.to_hand_over() if pk in self._hosted]
        longest = min(movable, key=lambda hosted: hosted.started_at, default=None)
        if longest is not None and now - longest.started_at >= settings.CDC_HAND_OVER_SECONDS:
            log.info(
                "handing over to a process with fewer listeners",
                listener=longest.listener.name,
            )
            self._hand_over_at = now + settings.CDC_HAND_OVER_SECONDS
            self._drain([longest])

    def _check_hosted(self) -> None:
        for_each(
            list(self._hosted.values()), self._check_one, name=lambda hosted: hosted.listener.name
        )

    def _check_one(self, hosted: HostedListener) -> None:
        if hosted.has_ended:
            # Before it drains, so that a check that succeeds meanwhile clears the failure.
            hosted.note_status()
            # The same error may end it again: no tight loop.
            self._not_before[hosted.listener.pk] = time.monotonic() + REHOST_SECONDS
            self._drain([hosted])
        elif hosted.lease_is_lost or not hosted.note_status():
            log.warning("another process has the listener", listener=hosted.listener.name)
            metrics.LEASES_LOST.labels(hosted.listener.name).inc()
            hosted.note_lease_lost()
            self._drain([hosted])

    # Draining

    def _drain(self, several: Iterable[HostedListener]) -> None:
        leaving = list(several)
        self._draining_listeners.begin(leaving, time.monotonic() + DRAIN_SECONDS)
        for hosted in leaving:
            self._hosted.pop(hosted.listener.pk, None)

    def _release_drained(self) -> None:
        """Release the leases of drained listeners."""
        ended = self._draining_listeners.pop_drained()
        if not ended:
            return
        self._recorded_before += sum(hosted.recorder.recorded for hosted in ended)
        self._refresh_at = time.monotonic()
        # While the database is not available, the leases expire by themselves.
        with suppress_transient_errors("release leases"):
            for hosted in ended:
                hosted.release()

    def _end(self) -> None:
        """Drain, release and join. Each step has a time limit that does not depend on the number of
        listeners."""
        by = time.monotonic() + DRAIN_SECONDS
        self._stop.set()
        for helper in (*self._helpers, self._senders):
            helper.stop()
        self._drain(self._hosted.values())
        self._draining_listeners.limit(by)
        with suppress_transient_errors("leave"):
            self._assignment.leave()
        while self._draining_listeners and time.monotonic() < by + GRACE_SECONDS + RELEASE_SECONDS:
            self._release_drained()
            time.sleep(0.02)
        self._draining_listeners.wait_for_disconnects(time.monotonic() + SETTLE_SECONDS)
        self._logins.settle(SETTLE_SECONDS)
        self._keeper.stop()
        self._publisher.stop()
        last = time.monotonic() + JOIN_SECONDS
        # The publisher first: workers wait for what it publishes.
        for thread in (self._publisher.thread, *self._helpers, self._keeper):
            thread.join(max(0.0, last - time.monotonic()))
        # What is claimed and not sent would wait for its deadline.
        self._senders.join(max(0.0, max(by, last) - time.monotonic()))

    # Exit conditions

    def _have_all_failed(self) -> bool:
        return bool(self._wanted) and not self._holding() and self._failed == self._wanted.keys()

    def _is_finished(self) -> bool:
        if self._max_events is not None and self.recorded >= self._max_events:
            return not relay.has_work(database_clock.now())
        if self._idle_seconds is None:
            return False
        if self._is_busy():
            self._busy_at = time.monotonic()
        return time.monotonic() - self._busy_at >= self._idle_seconds

    def _is_busy(self) -> bool:
        """Return whether a listener receives or records changes or has not started yet, or a
        delivery waits to be published."""
        for hosted in self._hosted.values():
            last_message_at = hosted.receiver.last_message_at
            if not hosted.is_receiving or hosted.outstanding:
                return True
            if last_message_at is not None and last_message_at > self._busy_at:
                return True
        return (
            bool(self._draining_listeners)
            or self._is_missing()
            or relay.has_work(database_clock.now())
        )

    def _is_missing(self) -> bool:
        """Return whether a listener that could run does not run yet."""
        missing = self._wanted.keys() - self._hosted.keys() - self._failed
        # A killed process counts as alive until its lease expires.
        may_be_dead = time.monotonic() - self._began_at < LEASE_TIMEOUT
        return any(may_be_dead or self._assignment.is_free(pk) for pk in missing)
