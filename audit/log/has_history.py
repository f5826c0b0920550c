"""Find listeners with a history, which can be disabled but not deleted."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from audit.models import AuditLogEntry, Quarantined
from listeners.models import Listener, Position


def with_history(listeners: Iterable[Listener]) -> list[Listener]:
    """Return the listeners that have recorded entries or quarantined messages.

    Inside any transaction, until whose end nothing is recorded for these listeners.
    """
    candidates = list(listeners)
    with transaction.atomic():
        Position.objects.filter(listener__in=candidates).lock()
        return [listener for listener in candidates if _has_history(listener)]


def _has_history(listener: Listener) -> bool:
    # Django's own check of protected rows would read all of them.
    entries = AuditLogEntry.objects.filter(listener=listener)
    return entries.exists() or Quarantined.objects.filter(listener=listener).exists()
