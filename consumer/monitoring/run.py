"""A look for what is an incident, or is none any more: see it, tell of it."""

from __future__ import annotations

from consumer.alerts import send
from consumer.monitoring import org_limits
from consumer.monitoring.checks import watch
from listeners.clock import database_clock


def look() -> None:
    """Look, tell what is due, ask the orgs. Never inside a transaction."""
    now = database_clock.now()
    watch(now)
    send.tell_due(now)
    org_limits.refresh_due(now)
