"""Close incidents whose problem has not recurred while the listener receives."""

from __future__ import annotations

from datetime import datetime, timedelta

from audit.models import Incident
from consumer.monitoring.snapshot import Watched, close

Kind = Incident.Kind

#: A shorter time could open and close an incident again and again.
QUIET = timedelta(hours=1)
_NOTES = {
    Kind.STALL: "The stream has not stalled for an hour.",
    Kind.MALFORMED_ANSWER: "No malformed response for an hour. The events of the malformed "
    "responses were requested again.",
}
#: Kinds of incident that only apply to an enabled listener.
_OF_RUNNING = (Kind.STALL, Kind.BACK_OFF, Kind.QUOTA, Kind.CONFIGURATION)


def look(watched: Watched, now: datetime) -> None:
    """Close incidents of a disabled listener, and those that have been quiet. Inside any
    transaction."""
    if not watched.listener.enabled:
        for (kind, _), known in watched.incidents.items():
            if kind in _OF_RUNNING:
                close(known, "The listener was disabled.", now)
    for quiet, note in _NOTES.items():
        incident = watched.open(quiet)
        if incident and watched.is_receiving and now - incident.last_seen_at >= QUIET:
            close(incident, note, now)
