"""What ends by not happening again while the listener receives."""

from __future__ import annotations

from datetime import datetime, timedelta

from audit.models import Incident
from consumer.monitoring.snapshot import Watched, close

Kind = Incident.Kind

#: After a shorter while it could be opened and closed again and again.
QUIET = timedelta(hours=1)
_NOTES = {
    Kind.STALL: "The stream has not fallen silent for an hour.",
    Kind.MALFORMED_ANSWER: "No such answer has come for an hour. The events of those that came "
    "were asked for again.",
}
#: What only means something while the listener is to run.
_OF_RUNNING = (Kind.STALL, Kind.BACK_OFF, Kind.QUOTA, Kind.CONFIGURATION)


def look(one: Watched, now: datetime) -> None:
    """Close what has not happened for a while. Inside any transaction."""
    if not one.listener.enabled:
        for (kind, _), known in one.incidents.items():
            if kind in _OF_RUNNING:
                close(known, "The listener was disabled.", now)
    for quiet, note in _NOTES.items():
        incident = one.open(quiet)
        if incident and one.is_receiving and now - incident.last_seen_at >= QUIET:
            close(incident, note, now)
