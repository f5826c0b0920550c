"""One monitoring round: check for incidents, send alerts, read org limits."""

from __future__ import annotations

from consumer.alerts import send
from consumer.monitoring import org_limits
from consumer.monitoring.checks import watch
from listeners.clock import database_clock


def look() -> None:
    """Run one monitoring round. Never inside a transaction."""
    now = database_clock.now()
    watch(now)
    send.tell_due(now)
    org_limits.refresh_due(now)
