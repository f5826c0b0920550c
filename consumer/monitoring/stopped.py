"""Incidents about listeners that stopped on a failure that only an operator can correct."""

from __future__ import annotations

from datetime import datetime

from audit.models import Incident
from consumer import incidents
from consumer.monitoring.snapshot import Watched

Kind = Incident.Kind


def look(watched: Watched, now: datetime) -> None:
    """Open the incident if it could not be opened when the listener stopped, or was closed while
    the listener is still stopped. Inside any transaction."""
    if not watched.listener.enabled or not watched.has_failed or watched.position is None:
        return
    if watched.open(Kind.CONFIGURATION) is None and watched.open(Kind.REPLAY_LOST) is None:
        Incident.objects.report(watched.listener.pk, incidents.stop(watched.position.reason), now)
