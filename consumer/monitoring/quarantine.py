"""Incidents about undecodable events in quarantine."""

from __future__ import annotations

from datetime import datetime

from audit.models import Incident, Quarantined
from consumer.monitoring.snapshot import Watched, close


def look(watched: Watched, now: datetime) -> None:
    """Close the incident once no undecodable event is left. Inside any transaction."""
    incident = watched.open(Incident.Kind.UNDECODABLE)
    if incident is None:
        return
    unread = Quarantined.objects.filter(
        listener=watched.listener, is_answer=False, ingested_at=None
    )
    if not unread.exists():
        close(incident, "No undecodable event is left in quarantine.", now)
