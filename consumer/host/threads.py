"""The background threads of a listener process that do not serve a single listener."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import cycle, islice

import structlog
from django.conf import settings

from audit import internal_errors
from audit.internal_errors import step
from cdcproject.process.embedded_broker import ensure_embedded_broker
from consumer import relay
from consumer.host.runtime import HostedListener
from consumer.monitoring import checks
from listeners.backoff import Backoff
from listeners.clock import database_clock
from listeners.models import Position
from listeners.threads import BackgroundThread, Step

log = structlog.get_logger(__name__)

RENEW_SECONDS = 3.0
RELAY_SECONDS = 1.0
ALERT_SECONDS = 5.0


def lease_keeper(hosted: Callable[[], Sequence[HostedListener]]) -> BackgroundThread:
    """Return the thread that renews the leases of hosted listeners, also of those being drained.

    `hosted` is called from that thread.
    """

    def renew() -> None:
        by_lease = {listener.lease: listener for listener in hosted()}
        for lease in Position.objects.renew(list(by_lease)):
            by_lease[lease].lease_is_lost = True

    renewing = step(
        "leases",
        renew,
        "Leases are not renewed: other processes take the listeners of this one.",
        backoff=Backoff(0.5, RENEW_SECONDS),
    )
    return BackgroundThread(renewing, every=RENEW_SECONDS)


def relay_thread(repairs: Sequence[Step] = relay.REPAIRS) -> BackgroundThread:
    """Return the thread that publishes due deliveries and starts due jobs each second, and runs
    each of the relay's repairs within settings.CDC_SWEEP_SECONDS.

    The repairs are spread over that time, so that they do not hold up changes all at once.
    """
    each_second = math.ceil(len(repairs) * RELAY_SECONDS / settings.CDC_SWEEP_SECONDS)
    upcoming = cycle(repairs)

    def run_relay() -> None:
        if not relay.run_due(database_clock.now()):
            _revive_broker()
        for repair in islice(upcoming, min(each_second, len(repairs))):
            repair(database_clock.now())

    running = step(
        "relay",
        run_relay,
        "Retries are not published, and what crashes left behind is not repaired.",
    )
    return BackgroundThread(running, every=RELAY_SECONDS)


def _revive_broker() -> None:
    try:
        ensure_embedded_broker()
    except RuntimeError as error:
        log.warning("embedded broker did not start", reason=str(error))


def watch_thread() -> BackgroundThread:
    """Return the thread of the checks that open and close incidents."""
    watching = step("watch", checks.run_checks, "Incidents are not opened and closed.")
    return BackgroundThread(watching, every=settings.CDC_WATCH_SECONDS)


def alerts_thread() -> BackgroundThread:
    """Return the thread that sends the alerts. It depends on no check."""

    def send() -> None:
        internal_errors.adopt()
        checks.ALERTS(database_clock.now())

    sending = step("alert thread", send, "Alerts about incidents are not sent by this process.")
    return BackgroundThread(sending, every=min(ALERT_SECONDS, settings.CDC_WATCH_SECONDS))
