"""The org's daily limit of delivered events, read over REST."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import structlog

from audit.models import Incident, Trouble
from handlers.listener_rest_client import CANNOT_READ, rest_of
from listeners.models import Connection, Listener, OrgUsage, Position
from listeners.threads import for_each

log = structlog.get_logger(__name__)

LIMIT = "DailyDeliveredPlatformEvents"
#: The interval between two reads: each counts as an API call.
EVERY = timedelta(hours=1)
#: Orgs read in one round, so that unresponsive orgs do not hold up the checks.
MOST_AT_ONCE = 5
#: The used share of the limit that opens an incident.
WARN_FROM = 0.8
KEY = "usage"


def refresh_due(now: datetime) -> int:
    """Read the limits of orgs last read over an hour ago, and return how many were read. Never
    inside a transaction.

    Several processes may run this at once: one of them claims each org.
    """
    _resolve_unread(now)
    listeners = Listener.objects.filter(enabled=True).exclude(connection__in=_stopped())
    listeners = listeners.select_related("connection").order_by("-pk")
    one_each = {listener.connection_id: listener for listener in listeners}.values()
    claimed = (listener for listener in one_each if _claim(listener.connection, now))
    to_read = list(islice(claimed, MOST_AT_ONCE))
    for_each(to_read, lambda listener: _read(listener, now))
    return len(to_read)


def _read(listener: Listener, now: datetime) -> None:
    try:
        keep(listener.connection, rest_of(listener).limits().get(LIMIT), now)
    except CANNOT_READ as error:
        log.warning(
            "org limits not readable", connection=listener.connection.name, reason=str(error)
        )
        keep_failure(listener.connection, str(error))


def _resolve_unread(now: datetime) -> None:
    """Resolve incidents of orgs without an enabled listener: their limit is no longer read."""
    asked = Listener.objects.filter(enabled=True).values("connection")
    incidents = Incident.objects.filter(kind=Incident.Kind.QUOTA, key=KEY)
    incidents.exclude(listener__connection__in=asked).settle(
        now, note="No listener of the connection is enabled: the limit is no longer read."
    )


def _stopped() -> Any:
    """Return connections with a failed listener: their login may be refused, so that trying it here
    as well would only add refusals."""
    failed = Listener.objects.filter(enabled=True, position__state=Position.State.FAILED)
    return failed.values("connection")


def _claim(connection: Connection, now: datetime) -> bool:
    """Claim the read of an org's limits, by compare-and-swap on the time of the last read."""
    known, _ = OrgUsage.objects.get_or_create(connection=connection)
    if known.read_at is not None and now - known.read_at < EVERY:
        return False
    as_seen = OrgUsage.objects.filter(pk=known.pk, read_at=known.read_at)
    return bool(as_seen.update(read_at=now))


def keep(connection: Connection, limit: Any, now: datetime) -> None:
    """Store the limit `{"Max", "Remaining"}` and open or resolve its incident. Inside any
    transaction."""
    match limit:
        case {"Max": int(most), "Remaining": int(left)}:
            found = {"maximum": most, "remaining": left, "read_at": now, "error": ""}
        case _:
            keep_failure(connection, f"the org's limits do not include {LIMIT}")
            return
    OrgUsage.objects.update_or_create(connection=connection, defaults=found)
    _report(connection, most, left, now)


def keep_failure(connection: Connection, reason: str) -> None:
    """Store that the limit is unknown: the last value may be outdated. Inside any transaction."""
    found = {"maximum": None, "remaining": None, "error": reason}
    OrgUsage.objects.update_or_create(connection=connection, defaults=found)


def _report(connection: Connection, most: int, left: int, now: datetime) -> None:
    """Open or resolve one incident for the connection, under its first enabled listener."""
    used = (most - left) / most if most > 0 else 0.0
    first = Listener.objects.filter(connection=connection, enabled=True).order_by("pk").first()
    incidents = Incident.objects.filter(
        kind=Incident.Kind.QUOTA, key=KEY, listener__connection=connection
    )
    if used < WARN_FROM:
        incidents.settle(now, note=f"{used:.0%} of the daily limit is used: {left:,} are left.")
        return
    if first is None:
        return
    incidents.exclude(listener=first).settle(
        now, note="Continued under another listener of the connection."
    )
    Incident.objects.report(
        first.pk,
        Trouble(
            Incident.Kind.QUOTA,
            KEY,
            f"{used:.0%} of the org's daily limit of delivered events is used "
            f"({connection.name}): {left:,} of {most:,} are left.",
            "Stop unneeded subscribers (each one's deliveries count), select fewer entities, or "
            "buy a higher limit.",
            action="Changes still arrive. At the limit Salesforce stops delivering; missed changes "
            "are fetched once the limit frees up, if that is within 72 hours.",
            lasts=True,
        ),
        now,
    )
