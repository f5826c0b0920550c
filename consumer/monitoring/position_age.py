"""Incidents about stored positions that expire soon."""

from __future__ import annotations

from datetime import datetime, timedelta

from audit.models import Incident, Trouble
from consumer.monitoring.snapshot import Watched, close
from listeners.listener_state import RETENTION, runway
from listeners.models import Listener

KIND = Incident.Kind.RUNWAY
#: The time left to replay that opens the incident.
LEAST = timedelta(hours=24)

_THEN = {
    Listener.ReplayLost.EARLIEST: "continues with the earliest event that Salesforce has",
    Listener.ReplayLost.TIP: "continues with new events only",
    Listener.ReplayLost.STOP: "stops and waits for an operator",
}


def check(watched: Watched, now: datetime) -> None:
    """Open, refresh or close the incident about the position. Inside any transaction."""
    incident = watched.open(KIND)
    left = runway(watched.position, now)
    if not watched.listener.enabled:
        close(incident, "The listener was disabled.", now)
    elif left is None:
        close(incident, "The listener no longer has a position that could expire.", now)
    elif left > LEAST:
        close(incident, f"The position is recent again: {_hours(left)} left to replay.", now)
    else:
        Incident.objects.report(watched.listener.pk, _trouble(watched, left, now), now)


def _trouble(watched: Watched, left: timedelta, now: datetime) -> Trouble:
    end = f"{now + left:%Y-%m-%d %H:%M} UTC"
    then = (
        f"the listener then {_THEN[Listener.ReplayLost(watched.listener.on_replay_lost)]}, and the "
        "window is compared over REST."
    )
    if watched.is_receiving:
        age = _hours(RETENTION - left) + ("" if left else " or more")
        summary = f"No event has arrived for {age}: the stored position ages."
        remedy = (
            "Nothing while the listener receives. Any change in Salesforce renews the position."
        )
        action = (
            "The listener receives, and misses nothing. If its session is lost after "
            f"{end}, Salesforce rejects the position: {then}"
        )
    elif left:
        summary = f"The stored position expires in {_hours(left)}, at {end}."
        remedy = "Get the listener to receive before then; another incident says what prevents it."
        action = f"After that Salesforce rejects the position: {then}"
    else:
        summary = "The stored position has expired: its event is older than 72 hours."
        remedy = "Get the listener to receive again; another incident says what prevents it."
        action = f"Salesforce will reject the position: {then}"
    return Trouble(KIND, "", summary, remedy, action=action, lasts=True)


def _hours(span: timedelta) -> str:
    return f"{span / timedelta(hours=1):.1f} h"
