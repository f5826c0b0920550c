"""The threads of a listener process that do not serve a single listener."""

from __future__ import annotations

from django.conf import settings

from consumer.host.couriers import CouriersThread
from consumer.host.threads import PeriodicThread, relay_thread
from consumer.monitoring.checks import run_round


def background_threads() -> tuple[PeriodicThread, PeriodicThread, CouriersThread]:
    """Return the threads of the relay, of the checks that open and close incidents, and of the
    tasks of destinations. Each may wait for the broker or for Salesforce."""
    return (
        relay_thread(),
        PeriodicThread("watch", run_round, settings.CDC_WATCH_SECONDS),
        CouriersThread(),
    )
