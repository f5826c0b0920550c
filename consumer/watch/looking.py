"""A look for what is an incident, or is none any more: see it, tell of it."""

from __future__ import annotations

from django.utils import timezone

from consumer import notify, usage
from consumer.watch import watch


def look() -> None:
    """Look, tell what is due, ask the orgs. Never inside a transaction."""
    now = timezone.now()
    watch(now)
    notify.tell_due(now)
    usage.refresh_due(now)
