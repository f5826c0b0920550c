"""A look for what is an incident, or is none any more: see it, tell of it."""

from __future__ import annotations

from consumer import notify, usage
from consumer.watch import watch
from listeners.clock import database_clock


def look() -> None:
    """Look, tell what is due, ask the orgs. Never inside a transaction."""
    now = database_clock.now()
    watch(now)
    notify.tell_due(now)
    usage.refresh_due(now)
