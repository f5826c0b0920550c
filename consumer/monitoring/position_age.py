"""A stored position that Salesforce will soon forget."""

from __future__ import annotations

from datetime import datetime, timedelta

from audit.models import Incident
from audit.models.entry_queryset import Trouble
from consumer.monitoring.snapshot import Watched, close
from listeners.listener_state import RETENTION, runway
from listeners.models import Listener

KIND = Incident.Kind.RUNWAY
#: Opened with this left of the 72 hours.
LEAST = timedelta(hours=24)

_THEN = {
    Listener.ReplayLost.EARLIEST: "goes on with the earliest event that Salesforce has",
    Listener.ReplayLost.TIP: "goes on with new events only",
    Listener.ReplayLost.STOP: "stops and waits for an operator",
}


def look(one: Watched, now: datetime) -> None:
    """Open, refresh or close it. Inside any transaction."""
    incident = one.open(KIND)
    left = runway(one.position, now) if one.position else None
    if not one.listener.enabled:
        close(incident, "The listener was disabled.", now)
    elif left is None:
        close(incident, "There is no position any more that could age out.", now)
    elif left > LEAST:
        close(incident, f"The position is fresh again: {_hours(left)} are left.", now)
    else:
        Incident.objects.report(one.listener.pk, _trouble(one, left, now), now)


def _trouble(one: Watched, left: timedelta, now: datetime) -> Trouble:
    end = f"{now + left:%Y-%m-%d %H:%M} UTC"
    then = (
        f"the listener then {_THEN[Listener.ReplayLost(one.listener.on_replay_lost)]}, and the "
        "window is compared over REST."
    )
    if one.is_receiving:
        return _idle(left, end, then)
    if not left:
        return _over(then)
    return Trouble(
        KIND,
        "",
        f"Salesforce forgets the stored position in {_hours(left)}, at {end}.",
        "Get the listener to receive before that: another incident says what keeps it.",
        action=f"After that Salesforce refuses the position: {then}",
        lasts=True,
    )


def _idle(left: timedelta, end: str, then: str) -> Trouble:
    more = "" if left else " or more"
    return Trouble(
        KIND,
        "",
        f"No event has come for {_hours(RETENTION - left)}{more}: the stored position ages.",
        "Nothing while it receives. Any change in Salesforce makes the position fresh again.",
        action="It receives, and misses nothing. If the session is lost after "
        f"{end}, Salesforce refuses the position: {then}",
        lasts=True,
    )


def _over(then: str) -> Trouble:
    return Trouble(
        KIND,
        "",
        "Salesforce has forgotten the stored position: its event is older than 72 hours.",
        "Get the listener to receive again: another incident says what keeps it.",
        action=f"Salesforce will refuse the position: {then}",
        lasts=True,
    )


def _hours(span: timedelta) -> str:
    return f"{span / timedelta(hours=1):.1f} h"
