"""Incidents about enabled listeners that do not receive."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from audit import internal_errors
from audit.models import Incident, Reconciliation, Trouble
from consumer.monitoring.snapshot import Watched, close
from consumer.reconciliation import schedule
from listeners.listener_state import RETENTION, runway
from listeners.models import Position
from listeners.salesforce.events import PRESETS

KIND = Incident.Kind.OUTAGE


def check(watched: Watched, now: datetime) -> None:
    """Open, refresh or close the listener's outage. Never inside a transaction."""
    incident = watched.open(KIND)
    if watched.is_receiving:
        if incident is not None:
            _end(watched, incident, now)
    elif not watched.listener.enabled:
        close(incident, "The listener was disabled.", now)
    elif watched.has_failed:
        close(incident, "The listener stopped; a separate incident says why.", now)
    elif (
        _has_something_to_miss(watched)
        and (incident is not None or _is_long(watched, now))
        and not (_is_stuck(watched) and internal_errors.is_any_open(now))  # it says why
    ):
        Incident.objects.report(watched.listener.pk, _trouble(watched, now), now)


def _has_something_to_miss(watched: Watched) -> bool:
    """Return False for a stopped listener whose position was discarded: its next start begins from
    scratch. A listener that has never subscribed (no channel) is still expected to receive."""
    position = watched.position
    if watched.is_live or not position.channel:
        return True
    return position.has_begun


def _since(watched: Watched) -> datetime:
    stuck_since = watched.position.unrecorded_since if watched.is_live else None
    return stuck_since or watched.position.last_received_at or watched.listener.created_at


def _is_stuck(watched: Watched) -> bool:
    """Return whether the listener receives changes but cannot record them."""
    return watched.is_live and watched.position.unrecorded_since is not None


def _is_long(watched: Watched, now: datetime) -> bool:
    """Return whether the listener has been silent for longer than CDC_OUTAGE_SECONDS. A change of
    its settings restarts the time; a session that was just opened is not silent."""
    if watched.standing.state == Position.State.RECEIVING:
        return False
    settled = max(
        _since(watched), watched.listener.updated_at, watched.listener.connection.updated_at
    )
    return now - settled > timedelta(seconds=settings.CDC_OUTAGE_SECONDS)


def _trouble(watched: Watched, now: datetime) -> Trouble:
    since = _since(watched)
    if _is_stuck(watched):
        summary = (
            f"Nothing has been recorded since {since:%Y-%m-%d %H:%M} UTC: the listener cannot "
            "commit to the database"
        )
        action = (
            "The listener keeps the received changes in memory and keeps trying to record them."
        )
        remedy = (
            "Look for database errors in the listener's log, and on PostgreSQL for the session "
            "that blocks it (pg_blocking_pids)."
        )
    else:
        why = f": {watched.standing.reason}" if watched.standing.reason else ""
        summary = f"Nothing has been received from Salesforce since {since:%Y-%m-%d %H:%M} UTC{why}"
        if watched.is_live:
            action = f"A process keeps trying ({watched.position.holder})."
            remedy = "If the problem persists, check the network and the org."
        else:
            action = "No process runs the listener."
            remedy = "Start manage.py run_cdc_listener, or find out why it is not running."
    text = f"{remedy} {_left(watched, now)}".strip()
    return Trouble(KIND, "", summary, text, min(since, now), now, action=action, lasts=True)


def _left(watched: Watched, now: datetime) -> str:
    left = runway(watched.position, now)
    if left is None:
        if watched.position.replay_id not in PRESETS:
            return ""
        return "The listener then continues with the changes that Salesforce still has."
    if not left:
        return "The stored position has expired: the missed window will be compared over REST."
    hours = left / timedelta(hours=1)
    return (
        f"Nothing is lost until {now + left:%Y-%m-%d %H:%M} UTC, {hours:.1f} h from now, when the "
        "stored position expires."
    )


def _end(watched: Watched, incident: Incident, now: datetime) -> None:
    """Close the outage of a listener that receives again. After more than 72 hours, changes are
    missing from the stream: plan a comparison of the window, which closes the incident."""
    start = incident.window_start or incident.opened_at
    end = incident.window_end or now
    if end - start > RETENTION:
        _compare(watched, incident, start, end, now)
        return
    since = watched.position.state_since or now
    if since < start:  # it received all the time
        since = now
    close(
        incident,
        f"Receiving and recording again since {since:%Y-%m-%d %H:%M} UTC, after "
        f"{_span(end - start)}. Changes committed in between follow from the stored position.",
        now,
    )


def _span(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    return f"{hours:.1f} h" if hours >= 1 else f"{span / timedelta(minutes=1):.0f} min"


def _compare(
    watched: Watched, incident: Incident, start: datetime, end: datetime, now: datetime
) -> None:
    planned = Reconciliation.objects.filter(incident=incident, window_end__gte=end)
    if planned.exists():
        return
    with transaction.atomic(durable=True):
        Position.objects.lock_listener(watched.listener.pk)
        if planned.exists():
            return
        schedule.plan(watched.listener, Reconciliation.Reason.OUTAGE, start, end, incident, now=now)
        Incident.objects.filter(pk=incident.pk).update(
            action="The listener receives again. The outage was longer than Salesforce keeps "
            "changes: the window is compared over REST, and missing changes are recorded.",
            remedy="Nothing, unless the comparison fails.",
        )
