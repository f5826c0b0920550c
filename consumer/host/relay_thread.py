"""The thread that runs the relay in a listener process."""

from __future__ import annotations

import time

import structlog
from django.conf import settings

from cdcproject.process.embedded_broker import ensure_embedded_broker
from consumer import relay
from consumer.host.periodic import PeriodicThread
from consumer.reconciliation import schedule
from handlers.outbox import broker
from handlers.redelivery import job
from listeners.clock import database_clock

log = structlog.get_logger(__name__)

RELAY_SECONDS = 1.0


def relay_thread() -> PeriodicThread:
    """Return the thread that publishes due deliveries and starts due jobs each second, and sweeps
    every settings.CDC_SWEEP_SECONDS."""
    return PeriodicThread("relay", _Relay().run_once, RELAY_SECONDS)


class _Relay:
    def __init__(self) -> None:
        self._swept_at = time.monotonic()

    def run_once(self) -> None:
        try:
            relay.publish_due(database_clock.now())
            schedule.start_due(database_clock.now())
            job.start_due(database_clock.now())
            if time.monotonic() - self._swept_at >= settings.CDC_SWEEP_SECONDS:
                self._swept_at = time.monotonic()
                relay.sweep(database_clock.now())
        except broker.BrokerUnavailable as error:
            log.warning("broker unavailable; deliveries will be published later", reason=str(error))
            _revive_broker()


def _revive_broker() -> None:
    try:
        ensure_embedded_broker()
    except RuntimeError as error:
        log.warning("embedded broker did not start", reason=str(error))
