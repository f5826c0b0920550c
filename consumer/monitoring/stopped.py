"""Incidents about listeners that stopped on a failure that only an operator can correct."""

from __future__ import annotations

from datetime import datetime

from audit.models import Incident
from consumer import incidents
from consumer.monitoring.snapshot import Watched

Kind = Incident.Kind


def look(one: Watched, now: datetime) -> None:
    """Open the incident if it could not be opened when the listener stopped, or was closed while
    the listener is still stopped. Inside any transaction."""
    if not one.listener.enabled or not one.has_failed or one.position is None:
        return
    if one.open(Kind.CONFIGURATION) is None and one.open(Kind.REPLAY_LOST) is None:
        Incident.objects.report(one.listener.pk, incidents.stop(one.position.reason), now)
