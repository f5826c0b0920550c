"""A look for what is an incident, or is none any more: see it, tell of it, show it."""

from __future__ import annotations

from django.utils import timezone

from audit.traffic import usages
from consumer import metrics, notify, usage
from consumer.watch import watch
from handlers.pausing import paused


def look() -> None:
    """Look, show it as metrics, tell what is due, ask the orgs. Never inside a transaction."""
    now = timezone.now()
    metrics.show(watch(now), usages(now), now)
    metrics.show_paused(paused())
    notify.tell_due(now)
    usage.refresh_due(now)
