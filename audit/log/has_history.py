"""A listener with a history stays for the record: it is disabled, not deleted."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from audit.models import AuditLogEntry, Quarantined
from listeners.models import Listener, Position


def with_history(listeners: Iterable[Listener]) -> list[Listener]:
    """Those of them that have one. Inside any transaction: until its end nothing is recorded for
    the others."""
    asked = list(listeners)
    with transaction.atomic():
        Position.objects.filter(listener__in=asked).lock()
        return [one for one in asked if _has_history(one)]


def _has_history(listener: Listener) -> bool:
    """Django would read all of it to say that there is one."""
    entries = AuditLogEntry.objects.filter(listener=listener)
    return entries.exists() or Quarantined.objects.filter(listener=listener).exists()
