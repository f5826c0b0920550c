"""The background threads of a listener process: one repeats a piece of work, such as renewing the
leases or running the relay."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import cycle, islice

import structlog
from django.conf import settings
from django.db import connection

from audit.db.retry import suppress_transient_errors
from cdcproject.process.embedded_broker import ensure_embedded_broker
from consumer import relay
from consumer.host.runtime import HostedListener
from handlers import broker
from listeners.clock import database_clock
from listeners.models import Position

log = structlog.get_logger(__name__)

RENEW_SECONDS = 3.0
RELAY_SECONDS = 1.0


class PeriodicThread(threading.Thread):
    """Calls `work` every `seconds`, first after that time.

    No error ends the thread: otherwise the process would run on without renewing its leases.
    """

    def __init__(self, name: str, work: Callable[[], None], seconds: float) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._seconds = seconds
        self._ended = threading.Event()

    def stop(self) -> None:
        self._ended.set()

    def run(self) -> None:
        try:
            while not self._ended.wait(self._seconds):
                self.run_once()
        finally:
            connection.close()

    def run_once(self) -> None:
        try:
            with suppress_transient_errors(self.name):
                self._work()
        except Exception:  # it may be temporary
            log.exception("unexpected error", thread=self.name)
            connection.close()


def lease_keeper(hosted: Callable[[], Sequence[HostedListener]]) -> PeriodicThread:
    """Return the thread that renews the leases of hosted listeners, also of those being drained.

    `hosted` is called from that thread.
    """

    def renew() -> None:
        by_lease = {listener.lease: listener for listener in hosted()}
        for lease in Position.objects.renew(list(by_lease)):
            by_lease[lease].lease_is_lost = True

    return PeriodicThread("leases", renew, RENEW_SECONDS)


def relay_thread(
    repairs: Sequence[Callable[[datetime], object]] = relay.REPAIRS,
) -> PeriodicThread:
    """Return the thread that publishes due deliveries and starts due jobs each second, and runs
    each of the relay's repairs within settings.CDC_SWEEP_SECONDS.

    The repairs are spread over that time, so that they do not hold up changes all at once. One that
    fails is tried again in its turn, and the others go on.
    """
    each_second = math.ceil(len(repairs) * RELAY_SECONDS / settings.CDC_SWEEP_SECONDS)
    upcoming = cycle(repairs)

    def run_relay() -> None:
        try:
            relay.run_due(database_clock.now())
            for repair in islice(upcoming, min(each_second, len(repairs))):
                repair(database_clock.now())
        except broker.BrokerUnavailable as error:
            log.warning("broker unavailable; deliveries will be published later", reason=str(error))
            _revive_broker()

    return PeriodicThread("relay", run_relay, RELAY_SECONDS)


def _revive_broker() -> None:
    try:
        ensure_embedded_broker()
    except RuntimeError as error:
        log.warning("embedded broker did not start", reason=str(error))
