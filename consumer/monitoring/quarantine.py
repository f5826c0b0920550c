"""Unreadable events, until none is left."""

from __future__ import annotations

from datetime import datetime

from audit.models import Incident, Quarantined
from consumer.monitoring.snapshot import Watched, close


def look(one: Watched, now: datetime) -> None:
    """Inside any transaction."""
    incident = one.open(Incident.Kind.UNDECODABLE)
    if incident is None:
        return
    unread = Quarantined.objects.filter(listener=one.listener, is_answer=False, ingested_at=None)
    if not unread.exists():
        close(incident, "No event is left unread in quarantine.", now)
