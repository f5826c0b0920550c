"""An org's daily limit of delivered events, asked for over REST."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog

from audit.models import Incident
from audit.models.entry_queryset import Trouble
from handlers.listener_rest_client import CANNOT_READ, rest_of
from listeners.models import Connection, Listener, OrgUsage, Position

log = structlog.get_logger(__name__)

LIMIT = "DailyDeliveredPlatformEvents"
#: Asked for no more often: it counts as a call of the API.
EVERY = timedelta(hours=1)
#: Asked in one go: orgs that do not answer must not hold up the watch. The others come next.
MOST_AT_ONCE = 5
#: Of the limit, from which on the operator is told.
WARN_FROM = 0.8
KEY = "usage"


def refresh_due(now: datetime) -> int:
    """Ask the orgs that were not asked for an hour; how many. Never inside a transaction.

    Several at once do no harm: each org is asked by one.
    """
    asked = 0
    _settle_idle(now)
    listeners = Listener.objects.filter(enabled=True).exclude(connection__in=_stopped())
    listeners = listeners.select_related("connection").order_by("-pk")
    for listener in {one.connection_id: one for one in listeners}.values():
        if asked == MOST_AT_ONCE:
            break
        if not _claim(listener.connection, now):
            continue
        asked += 1
        try:
            keep(listener.connection, rest_of(listener).limits().get(LIMIT), now)
        except CANNOT_READ as error:
            log.warning("the org's limits are not known", connection=listener.connection.name,
                        reason=str(error))  # fmt: skip
            keep_failure(listener.connection, str(error))
    return asked


def _settle_idle(now: datetime) -> None:
    """What was told of an org that nobody asks any more."""
    asked = Listener.objects.filter(enabled=True).values("connection")
    told = Incident.objects.filter(kind=Incident.Kind.QUOTA, key=KEY)
    told.exclude(listener__connection__in=asked).settle(
        now, note="No listener of its connection is enabled: the org is not asked any more."
    )


def _stopped() -> Any:
    """Connections whose login may be what is refused: not to be tried beside their listeners."""
    failed = Listener.objects.filter(enabled=True, position__state=Position.State.FAILED)
    return failed.values("connection")


def _claim(connection: Connection, now: datetime) -> bool:
    """By compare-and-swap on the time that it was asked last."""
    known, _ = OrgUsage.objects.get_or_create(connection=connection)
    if known.read_at is not None and now - known.read_at < EVERY:
        return False
    as_seen = OrgUsage.objects.filter(pk=known.pk, read_at=known.read_at)
    return bool(as_seen.update(read_at=now))


def keep(connection: Connection, limit: Any, now: datetime) -> None:
    """Keep what the org said, `{"Max", "Remaining"}`, and tell when it runs out. Inside any
    transaction."""
    match limit:
        case {"Max": int(most), "Remaining": int(left)}:
            found = {"maximum": most, "remaining": left, "read_at": now, "error": ""}
        case _:
            keep_failure(connection, f"the org does not tell {LIMIT}")
            return
    OrgUsage.objects.update_or_create(connection=connection, defaults=found)
    _tell(connection, most, left, now)


def keep_failure(connection: Connection, reason: str) -> None:
    """What it said an hour ago may be wrong by now: it is not known. Inside any transaction."""
    found = {"maximum": None, "remaining": None, "error": reason}
    OrgUsage.objects.update_or_create(connection=connection, defaults=found)


def _tell(connection: Connection, most: int, left: int, now: datetime) -> None:
    """One incident for the connection: its first enabled listener's."""
    used = (most - left) / most if most > 0 else 0.0
    first = Listener.objects.filter(connection=connection, enabled=True).order_by("pk").first()
    told = Incident.objects.filter(
        kind=Incident.Kind.QUOTA, key=KEY, listener__connection=connection
    )
    if used < WARN_FROM:
        told.settle(now, note=f"{used:.0%} of the daily limit are used: {left:,} are left.")
        return
    if first is None:
        return
    told.exclude(listener=first).settle(now, note="It goes on under another listener.")
    Incident.objects.report(
        first.pk,
        Trouble(
            Incident.Kind.QUOTA,
            KEY,
            f"{used:.0%} of the org's daily limit of delivered events are used "
            f"({connection.name}): {left:,} of {most:,} are left.",
            "Stop subscribers that nobody needs (each counts what it is delivered), select fewer "
            "entities, or buy more.",
            action="Changes still come. At the limit Salesforce stops delivering; they are fetched "
            "once it frees up, if that is within 72 hours.",
            lasts=True,
        ),
        now,
    )
