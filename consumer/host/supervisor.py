"""Hosts listeners: takes leases, starts and stops threads, takes up changes of configuration."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime

import structlog
from django.conf import settings

from audit.db.retry import suppress_transient_errors
from consumer import relay
from consumer.host.assignment import Share
from consumer.host.drain import GRACE_SECONDS, Departures
from consumer.host.exit_limits import Limits
from consumer.host.lease_renewal import lease_keeper
from consumer.host.periodic import Rounds
from consumer.host.relay_thread import relay_thread
from consumer.host.runtime import HostedListener
from consumer.host.standby import Standby
from consumer.host.start import Hosting, failed_since
from consumer.monitoring.run import look
from consumer.stream import metrics
from consumer.stream.login_guard import Logins
from consumer.stream.publisher import Publisher
from listeners.clock import database_clock
from listeners.leases import LEASE
from listeners.models import Listener, Position

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.25
LOOK_SECONDS = 1.0
REHOST_SECONDS = 5.0
LEASE_TIMEOUT = LEASE.total_seconds() + 3.0
#: The parts of an end, each for all listeners together: SIGTERM to exit stays under 14 s.
DRAIN_SECONDS = 8.5
RELEASE_SECONDS = 1.5
SETTLE_SECONDS = 1.0
JOIN_SECONDS = 1.0

EXIT_OK = 0
EXIT_ALL_FAILED = 3


class Supervisor:
    """One per process. `names` empty: every enabled listener."""

    def __init__(self, names: Sequence[str] = (), limits: Limits | None = None) -> None:
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._names = list(names)
        self._limits = limits or Limits()
        self._asked_to_stop = False
        self._stop = threading.Event()
        self._logins = Logins(self._stop.wait)
        self._share = Share(self.holder, self._names)
        self._publisher = Publisher()
        self._hosting = Hosting(self.holder, self._logins, self._share, self._publisher)
        self._hosted: dict[int, HostedListener] = {}
        self._departures = Departures()
        self._recorded_before = 0
        self._started_at: datetime | None = None
        self._began_at = self._busy_at = time.monotonic()
        self._look_at = self._hand_over_at = self._began_at
        self._wanted: dict[int, Listener] = {}
        self._standby = Standby(self.holder)
        self._failed: set[int] = set()
        self._not_before: dict[int, float] = {}
        # What it waits for holds nobody up.
        self._helpers = (relay_thread(), Rounds("watch", look, settings.CDC_WATCH_SECONDS))
        self._keeper = lease_keeper(self._holding)

    # Queries

    def is_receiving(self) -> bool:
        """Whether this process hosts listeners and each of them receives."""
        hosted = list(self._hosted.values())
        return bool(hosted) and all(one.is_receiving for one in hosted)

    def is_standing_by(self) -> bool:
        """Whether this process hosts nothing because others receive all that it may run."""
        is_served = self._standby.is_served(time.monotonic())
        return is_served and not self._hosted and not self._asked_to_stop

    def states(self) -> dict[str, str]:
        return {one.listener.name: one.state for one in list(self._hosted.values())}

    @property
    def recorded(self) -> int:
        """Changes recorded by this process."""
        return self._recorded_before + sum(one.recorded for one in self._holding())

    def _holding(self) -> list[HostedListener]:
        """Those whose leases this process has; some may be about to leave."""
        return [*list(self._hosted.values()), *self._departures]

    # Running

    def stop(self) -> None:
        """Ask it to end: drain, save, release.

        Safe in a signal handler: setting an event there could wait for a lock that the
        interrupted code holds.
        """
        self._asked_to_stop = True

    def run(self) -> int:
        """Until stopped or a limit is reached; the exit code."""
        for thread in (*self._helpers, self._keeper, self._publisher):
            thread.start()
        code: int | None = None
        try:
            while code is None and not self._asked_to_stop:
                with suppress_transient_errors("host listeners"):
                    code = self._tick()
                if code is None:
                    time.sleep(TICK_SECONDS)
        finally:
            self._end()
        return code or EXIT_OK

    def _tick(self) -> int | None:
        """The exit code once it is over."""
        self._see_off()
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            self._look()
            self._stop_changed()
            self._take_share()
            self._give_share()
        self._check_hosted()
        if self._have_all_failed():
            return EXIT_ALL_FAILED
        return EXIT_OK if self._is_finished() else None

    def _look(self) -> None:
        """What is configured, who runs it, and which processes are there."""
        if self._started_at is None:
            self._started_at = database_clock.read()
        enabled = list(Listener.objects.filter(enabled=True).select_related("connection"))
        running = Position.objects.with_life().filter(listener__enabled=True)
        positions = {position.pk: position for position in running}
        wanted = [one for one in enabled if not self._names or one.name in self._names]
        self._wanted = {listener.pk: listener for listener in wanted}
        prints = {listener.pk: listener.fingerprint for listener in wanted}
        self._standby.look(self._wanted, positions, time.monotonic())
        self._failed = failed_since(self._started_at, positions, prints)
        self._share.look(enabled, positions, self._failed | self._hosting.unfit(prints))
        self._hosting.reconsider(self._wanted)

    def _stop_changed(self) -> None:
        wanted = {pk: listener.fingerprint for pk, listener in self._wanted.items()}
        changed = [h for pk, h in self._hosted.items() if wanted.get(pk) != h.fingerprint]
        if changed:
            log.info("configuration changed", listeners=[h.listener.name for h in changed])
            self._let_go(changed)

    def _take_share(self) -> None:
        now = time.monotonic()
        # One whose lease ran out while this process was paused looks free, and is still here.
        here = {hosted.listener.pk for hosted in self._holding()}
        due = [
            self._wanted[pk]
            for pk in sorted((self._share.to_take() & self._wanted.keys()) - here)
            if now >= self._not_before.get(pk, 0.0)
        ]
        for hosted in self._hosting.start(due):
            self._hosted[hosted.listener.pk] = hosted
            self._busy_at = now

    def _give_share(self) -> None:
        """Let one listener go, where another process should rather run it."""
        now = time.monotonic()
        if self._departures or now < self._hand_over_at:
            return
        movable = [self._hosted[pk] for pk in self._share.to_let_go() if pk in self._hosted]
        longest = min(movable, key=lambda hosted: hosted.started_at, default=None)
        if longest is not None and now - longest.started_at >= settings.CDC_HAND_OVER_SECONDS:
            log.info("left to a process that runs fewer", listener=longest.listener.name)
            self._hand_over_at = now + settings.CDC_HAND_OVER_SECONDS
            self._let_go([longest])

    def _check_hosted(self) -> None:
        for hosted in list(self._hosted.values()):
            if hosted.has_ended:
                # Whatever ended it may end it again: not in a tight loop.
                self._not_before[hosted.listener.pk] = time.monotonic() + REHOST_SECONDS
                self._let_go([hosted])
            elif hosted.lease_is_lost or not hosted.note_status():
                log.warning("another process has the listener", listener=hosted.listener.name)
                metrics.LEASES_LOST.labels(hosted.listener.name).inc()
                self._let_go([hosted])

    # Leaving

    def _let_go(self, several: Iterable[HostedListener]) -> None:
        leaving = list(several)
        self._departures.begin(leaving, time.monotonic() + DRAIN_SECONDS)
        for hosted in leaving:
            self._hosted.pop(hosted.listener.pk, None)

    def _see_off(self) -> None:
        """Give back the leases of those that have left."""
        ended = self._departures.ended()
        if not ended:
            return
        self._recorded_before += sum(hosted.recorded for hosted in ended)
        self._look_at = time.monotonic()
        # Where the database does not answer, the leases run out by themselves.
        with suppress_transient_errors("release leases"):
            for hosted in ended:
                hosted.release()

    def _end(self) -> None:
        """Each step takes so long at most, however many listeners there are."""
        by = time.monotonic() + DRAIN_SECONDS
        self._stop.set()
        for helper in self._helpers:
            helper.stop()
        self._let_go(self._hosted.values())
        self._departures.hurry(by)
        with suppress_transient_errors("leave"):
            self._share.leave()
        while self._departures and time.monotonic() < by + GRACE_SECONDS + RELEASE_SECONDS:
            self._see_off()
            time.sleep(0.02)
        self._departures.say_goodbye(time.monotonic() + SETTLE_SECONDS)
        self._logins.settle(SETTLE_SECONDS)
        self._keeper.stop()
        self._publisher.stop()
        by = time.monotonic() + JOIN_SECONDS
        # First the one whose work is waited for elsewhere.
        for thread in (self._publisher, *self._helpers, self._keeper):
            thread.join(max(0.0, by - time.monotonic()))

    # Ends

    def _have_all_failed(self) -> bool:
        return bool(self._wanted) and not self._holding() and self._failed == self._wanted.keys()

    def _is_finished(self) -> bool:
        limits = self._limits
        if limits.max_events is not None and self.recorded >= limits.max_events:
            return not relay.has_work(database_clock.now())
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
        return bool(self._departures) or self._is_missing() or relay.has_work(database_clock.now())

    def _is_missing(self) -> bool:
        """A listener has not been started yet, or not again."""
        missing = self._wanted.keys() - self._hosted.keys() - self._failed
        # The lease of a process that was killed has to run out before it is known to be dead.
        may_be_dead = time.monotonic() - self._began_at < LEASE_TIMEOUT
        return any(may_be_dead or self._share.is_free(pk) for pk in missing)
