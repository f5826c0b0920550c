"""The periodic checks that open and close incidents from evidence in the database.

They run in every listener process and as a beat task, so that they also run without a listener.
Several processes may run them at once: an incident is still opened and closed once.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from audit.models import Incident, Quarantined
from consumer import incidents
from consumer.alerts import send
from consumer.monitoring import dead_letters, org_limits, outages, position_age
from consumer.monitoring.snapshot import Watched, close, snapshots
from handlers.messages import unknown_task_incidents
from listeners.clock import database_clock

Kind = Incident.Kind

#: How long a problem must not recur until its incident is closed. A shorter time could open and
#: close an incident again and again.
QUIET = timedelta(hours=1)
_QUIET_NOTES = {
    Kind.STALL: "The stream has not stalled for an hour.",
    Kind.MALFORMED_ANSWER: "No malformed response for an hour. The events of the malformed "
    "responses were requested again.",
}
#: Kinds of incident that only apply to an enabled listener.
_OF_RUNNING = (Kind.STALL, Kind.BACK_OFF, Kind.QUOTA, Kind.CONFIGURATION)


def run_round() -> None:
    """Check for incidents, send alerts, and read org limits. Never inside a transaction."""
    now = database_clock.now()
    watch(now)
    send.send_due(now)
    org_limits.refresh_due(now)


def watch(now: datetime) -> None:
    """Check every listener. Never inside a transaction."""
    seen = snapshots(now)
    for watched in seen:
        _reopen_stopped(watched, now)
        outages.check(watched, now)
        position_age.check(watched, now)
        _close_disabled_or_quiet(watched, now)
        _close_undecodable(watched, now)
    dead_letters.check(seen, now)
    unknown_task_incidents.close_when_none_is_kept(now)


def _reopen_stopped(watched: Watched, now: datetime) -> None:
    """Open the incident of a stopped listener if it could not be opened when the listener stopped,
    or was closed while the listener is still stopped. Inside any transaction."""
    if not watched.listener.enabled or not watched.has_failed:
        return
    if watched.open(Kind.CONFIGURATION) is None and watched.open(Kind.REPLAY_LOST) is None:
        Incident.objects.report(watched.listener.pk, incidents.stop(watched.position.reason), now)


def _close_disabled_or_quiet(watched: Watched, now: datetime) -> None:
    """Close incidents of a disabled listener, and those whose problem has not recurred while the
    listener receives. Inside any transaction."""
    if not watched.listener.enabled:
        for (kind, _), known in watched.incidents.items():
            if kind in _OF_RUNNING:
                close(known, "The listener was disabled.", now)
    for quiet, note in _QUIET_NOTES.items():
        incident = watched.open(quiet)
        if incident and watched.is_receiving and now - incident.last_seen_at >= QUIET:
            close(incident, note, now)


def _close_undecodable(watched: Watched, now: datetime) -> None:
    """Close the incident once no undecodable event is left in quarantine. Inside any
    transaction."""
    incident = watched.open(Kind.UNDECODABLE)
    unread = Quarantined.objects.filter(
        listener=watched.listener, is_answer=False, ingested_at=None
    )
    if incident is not None and not unread.exists():
        close(incident, "No undecodable event is left in quarantine.", now)
