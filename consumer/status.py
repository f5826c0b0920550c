"""How each listener does, as values and as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Count

from audit.models import AuditLogEntry, Incident
from audit.traffic import Usage, usages
from consumer.troubles import moment
from consumer.watch.scene import is_live
from handlers.models import Delivery
from listeners.models import Listener, Position
from listeners.standing import runway_hours, standing


@dataclass(frozen=True)
class ListenerStatus:
    listener: str
    transport: str
    enabled: bool
    state: str
    reason: str | None
    #: The process that holds a live lease.
    leader: str | None
    #: When the last recorded change was committed in Salesforce.
    last_event_at: datetime | None
    #: When Salesforce last answered, with changes or without.
    last_received_at: datetime | None
    #: Of the last change that the stream brought: from its commit to its receipt.
    lag_seconds: float | None
    #: Until Salesforce forgets the stored position; 0 when it has. A listener that is away for
    #: longer loses changes.
    runway_hours: float | None
    replay_id: str | None
    #: Every state of a delivery, with how many there are.
    backlog: dict[str, int]
    open_incidents: int
    #: Events that Salesforce delivered in 24 hours, and the org's daily limit of them.
    usage: Usage


def statuses(now: datetime) -> list[ListenerStatus]:
    """Every listener by name. Reads only; each number is as of its own query."""
    positions = {position.pk: position for position in Position.objects.all()}
    live = set(Position.objects.filter(is_live()).values_list("pk", flat=True))
    backlogs = _backlogs()
    incidents = _open_incidents()
    used = usages(now)
    return [
        replace(
            _of(listener, positions.get(listener.pk), listener.pk in live, now),
            lag_seconds=_lag_seconds(listener),
            backlog=backlogs[listener.pk],
            open_incidents=incidents.get(listener.pk, 0),
            usage=used.get(listener.pk, Usage()),
        )
        for listener in Listener.objects.order_by("name")
    ]


def _of(
    listener: Listener, position: Position | None, is_live: bool, now: datetime
) -> ListenerStatus:
    found = position or Position(listener=listener)
    stands = standing(listener, found, now, is_live=is_live)
    return ListenerStatus(
        listener=listener.name,
        transport=listener.transport,
        enabled=listener.enabled,
        state=stands.state,
        reason=stands.reason,
        leader=found.holder if is_live else None,
        last_event_at=found.last_event_at,
        last_received_at=found.last_received_at,
        lag_seconds=None,
        runway_hours=runway_hours(found, now),
        replay_id=found.replay_id or None,
        backlog={},
        open_incidents=0,
        usage=Usage(),
    )


def _lag_seconds(listener: Listener) -> float | None:
    last = (
        AuditLogEntry.objects.filter(listener=listener, source=AuditLogEntry.Source.STREAM)
        .order_by("-id")
        .values_list("commit_timestamp", "received_at")
        .first()
    )
    if last is None:
        return None
    committed: int = last[0]
    received_at: datetime = last[1]
    # Two clocks: a change cannot have been received before it was made.
    return max(0.0, round((received_at - moment(committed)).total_seconds(), 3))


def _backlogs() -> defaultdict[int, dict[str, int]]:
    backlogs: defaultdict[int, dict[str, int]] = defaultdict(
        lambda: dict.fromkeys(Delivery.State.values, 0)
    )
    counts = Delivery.objects.order_by().values_list("entry__listener", "state")
    for listener_id, state, count in counts.annotate(count=Count("id")):
        backlogs[listener_id][state] = count
    return backlogs


def _open_incidents() -> dict[int, int]:
    open_ones = Incident.objects.filter(closed_at=None).order_by().values_list("listener")
    return dict(open_ones.annotate(count=Count("id")))


_HEADER = (
    "LISTENER",
    "TRANSPORT",
    "STATE",
    "LEADER",
    "LAST EVENT",
    "LAST RECEIVED",
    "LAG",
    "RUNWAY",
    "BACKLOG",
    "INCIDENTS",
    "24 H",
)


def table(found: Sequence[ListenerStatus]) -> Iterator[str]:
    """A line for each listener, and one below it where there is a reason to give."""
    rows = [_HEADER, *map(_cells, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    reasons = [None, *(status.reason for status in found)]
    for row, reason in zip(rows, reasons, strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
        if reason:
            yield f"  └ {reason}"


def _cells(status: ListenerStatus) -> tuple[str, ...]:
    backlog = ", ".join(f"{count} {state}" for state, count in status.backlog.items() if count)
    return (
        status.listener,
        status.transport,
        status.state if status.enabled else f"{status.state} (disabled)",
        status.leader or "none",
        _clock(status.last_event_at),
        _clock(status.last_received_at),
        "-" if status.lag_seconds is None else f"{status.lag_seconds:.1f} s",
        "-" if status.runway_hours is None else f"{status.runway_hours:.1f} h",
        backlog or "none",
        str(status.open_incidents),
        str(status.usage),
    )


def _clock(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else "never"
