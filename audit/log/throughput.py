"""Count the delivered events by listener and minute, and compare them with the org's limit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Sum

from audit.db.prepared import Param, Prepared, update_query
from audit.models import Throughput
from listeners.listener_state import RETENTION
from listeners.models import Listener, OrgUsage, Position

DAY = timedelta(hours=24)
#: The limits of an org are read every hour while one of its listeners is enabled; older values are
#: not used.
KNOWN_FOR = timedelta(hours=3)


@dataclass(frozen=True)
class Usage:
    """The events of 24 hours delivered to a listener and its org, and the org's limit."""

    delivered: int = 0
    #: To all listeners of the org in this installation.
    org_delivered: int = 0
    #: Per rolling 24 hours, to all subscribers of the org; None: not known.
    org_limit: int | None = None
    org_remaining: int | None = None
    org_read_at: datetime | None = None

    def __str__(self) -> str:
        """Return the events of the listener, and the org's usage, which counts all subscribers."""
        delivered = f"{self.delivered:,} events"
        if self.org_limit is None or self.org_remaining is None:
            return delivered
        return (
            f"{delivered}; org: {self.org_limit - self.org_remaining:,} of {self.org_limit:,} used"
        )


_ADD = Prepared(
    lambda: update_query(
        Throughput.objects.filter(listener_id=Param("listener_id"), minute=Param("minute")),
        events=F("events") + Param("events"),
        entries=F("entries") + Param("entries"),
    )
)


def count(listener_id: int, moment: datetime, events: int, entries: int) -> None:
    """Add events and new entries to the minute of `moment`.

    Inside the caller's transaction, which has locked the listener's position, so that no other
    process counts.
    """
    minute = moment.replace(second=0, microsecond=0)
    if not _ADD.execute(listener_id=listener_id, minute=minute, events=events, entries=entries):
        Throughput.objects.create(
            listener_id=listener_id, minute=minute, events=events, entries=entries
        )


def usages(now: datetime) -> dict[int, Usage]:
    """Return the usage by listener id. Reads only."""
    counted = Throughput.objects.filter(minute__gte=now - DAY).order_by().values_list("listener")
    counts = dict(counted.annotate(Sum("events")))
    connections = dict(Listener.objects.values_list("pk", "connection_id"))
    orgs = _orgs(connections)
    sums: dict[str, int] = {}
    for listener_id, org in orgs.items():
        sums[org] = sums.get(org, 0) + counts.get(listener_id, 0)
    limits = {usage.pk: usage for usage in OrgUsage.objects.filter(read_at__gte=now - KNOWN_FOR)}
    return {
        pk: _usage(counts.get(pk, 0), sums[orgs[pk]], limits.get(connection_id))
        for pk, connection_id in connections.items()
    }


def replay_cost(listener: Listener, now: datetime) -> str:
    """Return a text about what a replay from the earliest event uses of the daily limit."""
    if listener._state.adding:
        return f"{_UNCOUNTED} {_left(listener)}"
    since = now - RETENTION
    rows = Throughput.objects.filter(listener=listener, minute__gte=since).order_by()
    events = rows.aggregate(events=Sum("events"))["events"]
    if events is None:
        return f"{_UNCOUNTED} {_left(listener)}"
    is_whole = Throughput.objects.filter(listener=listener, minute__lt=since).exists()
    at_least = "" if is_whole else " or more (counting began later)"
    return (
        "Salesforce would redeliver the events of the last 72 hours: about "
        f"{events:,}{at_least}. {_left(listener)}"
    )


_UNCOUNTED = (
    "Salesforce would deliver all retained events, those of the last 72 hours. Their number is "
    "unknown, because this listener has not counted any yet."
)


def _left(listener: Listener) -> str:
    usage = OrgUsage.objects.filter(connection=listener.connection_id).first()
    if usage is None or usage.maximum is None or usage.remaining is None:
        return "The remainder of the org's daily limit is unknown."
    return (
        f"The org has {usage.remaining:,} of its daily limit of {usage.maximum:,} left "
        f"(as of {usage.read_at:%Y-%m-%d %H:%M} UTC)."
    )


def _usage(delivered: int, org_delivered: int, limit: OrgUsage | None) -> Usage:
    if limit is None:
        return Usage(delivered, org_delivered)
    return Usage(delivered, org_delivered, limit.maximum, limit.remaining, limit.read_at)


def _orgs(connections: dict[int, int]) -> dict[int, str]:
    """Return the org of each listener; before the first login, one org for each connection.

    `connections` are the ids of the listeners' connections.
    """
    named = Position.objects.exclude(org_id="").values_list("listener__connection_id", "org_id")
    org_of = {connection_id: org_id[:15] for connection_id, org_id in named}
    return {pk: org_of.get(key, f"connection {key}") for pk, key in connections.items()}
