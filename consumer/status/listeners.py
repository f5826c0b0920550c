"""How each listener does, as values and as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Count, OuterRef, Subquery

from audit.log.throughput import Usage, usages
from audit.models import AuditLogEntry, Incident
from cdcproject.version import __version__
from consumer.incidents import moment
from handlers.mappings import pause
from handlers.models import Delivery, Worker
from handlers.reporting.queue_coverage import queues_heard
from listeners.listener_state import runway_hours, standing
from listeners.models import Listener, Position


@dataclass(frozen=True)
class PausedHandler:
    on: str
    entity: str
    handler: str
    since: datetime
    by: str
    reason: str
    #: Deliveries of any state that do not begin before it is resumed, or more.
    waiting: int
    or_more: bool

    def __str__(self) -> str:
        number = f"{self.waiting:,}{'+' if self.or_more else ''}"
        why = f" ({self.reason})" if self.reason else ""
        return (
            f"{self.handler} is paused for {self.on} {self.entity} since {_clock(self.since)} by "
            f"{self.by}{why}: {number} wait"
        )


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
    #: What of the backlog waits for them is not stuck.
    paused_handlers: list[PausedHandler]
    #: Events that Salesforce delivered in 24 hours, and the org's daily limit of them.
    usage: Usage


def statuses(now: datetime) -> list[ListenerStatus]:
    """Every listener by name. Reads only; each number is as of its own query."""
    return [status for _, status in by_listener(now, _backlogs())]


def by_listener(
    now: datetime,
    backlogs: Mapping[int, Mapping[str, int]],
    used: Mapping[int, Usage] | None = None,
) -> list[tuple[Listener, ListenerStatus]]:
    """The same with the listeners, for whoever counts the backlogs otherwise, or has counted the
    traffic. As many queries for one listener as for a hundred."""
    positions = {position.pk: position for position in Position.objects.with_life()}
    incidents = _open_incidents()
    lags = _lags()
    used = usages(now) if used is None else used
    paused = _paused()
    none = dict.fromkeys(Delivery.State.values, 0)
    return [
        (
            listener,
            replace(
                _of(listener, positions.get(listener.pk), now),
                lag_seconds=lags.get(listener.pk),
                backlog={**none, **backlogs.get(listener.pk, {})},
                open_incidents=incidents.get(listener.pk, 0),
                paused_handlers=paused.get(listener.pk, []),
                usage=used.get(listener.pk, Usage()),
            ),
        )
        for listener in Listener.objects.order_by("name")
    ]


def _of(listener: Listener, position: Position | None, now: datetime) -> ListenerStatus:
    found = position or Position(listener=listener)
    is_live = bool(getattr(position, "is_held", False))
    stands = standing(listener, found, now, is_live=is_live)
    return ListenerStatus(
        listener=listener.name,
        transport=listener.transport,
        enabled=listener.enabled,
        state=stands.state,
        reason=stands.reason,
        leader=found.holder if is_live else None,
        last_event_at=found.last_event_at,
        last_received_at=_received_at(found),
        lag_seconds=None,
        runway_hours=runway_hours(found, now),
        replay_id=found.replay_id or None,
        backlog={},
        open_incidents=0,
        paused_handlers=[],
        usage=Usage(),
    )


def _received_at(position: Position) -> datetime | None:
    """It is written down every few seconds, an event with each batch."""
    moments = (position.last_received_at, position.last_event_at)
    return max(filter(None, moments), default=None)


def _lags() -> dict[int, float]:
    """By listener, of the last change that its stream brought."""
    # A range of one listener, in an order that the index `entry_listener` alone has: for an
    # equality PostgreSQL may read the whole table backwards, until it meets an idle listener's.
    mine = {"listener_id__gte": OuterRef("pk"), "listener_id__lte": OuterRef("pk")}
    streamed = AuditLogEntry.objects.filter(**mine, source=AuditLogEntry.Source.STREAM)
    newest = Subquery(streamed.order_by("listener_id", "-id").values("pk")[:1])
    ids = Listener.objects.order_by().values_list(newest, flat=True)
    found = AuditLogEntry.objects.filter(pk__in=[pk for pk in ids if pk]).order_by()
    rows = found.values_list("listener_id", "commit_timestamp", "received_at")
    return {pk: _lag_seconds(committed, received) for pk, committed, received in rows}


def _lag_seconds(committed: int, received_at: datetime) -> float:
    # Two clocks: a change cannot have been received before it was made.
    return max(0.0, round((received_at - moment(committed)).total_seconds(), 3))


def _backlogs() -> dict[int, dict[str, int]]:
    backlogs: defaultdict[int, dict[str, int]] = defaultdict(dict)
    counts = Delivery.objects.order_by().values_list("entry__listener", "state")
    for listener_id, state, count in counts.annotate(count=Count("id")):
        backlogs[listener_id][state] = count
    return backlogs


def _open_incidents() -> dict[int, int]:
    open_ones = Incident.objects.filter(closed_at=None).order_by().values_list("listener")
    return dict(open_ones.annotate(count=Count("id")))


def _paused() -> dict[int, list[PausedHandler]]:
    found: defaultdict[int, list[PausedHandler]] = defaultdict(list)
    for one in pause.paused():
        mapping = one.mapping
        if mapping.paused_at is None:
            continue
        found[mapping.listener_id].append(
            PausedHandler(
                on=mapping.on,
                entity=mapping.entity,
                handler=one.handler,
                since=mapping.paused_at,
                by=mapping.paused_by,
                reason=mapping.pause_reason,
                waiting=one.waiting,
                or_more=one.is_capped,
            )
        )
    return found


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
    """A line for each listener, and below it what there is to know: why it does not run, and which
    of its handlers are paused."""
    rows = [_HEADER, *map(_cells, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    notes = [[], *(_notes(status) for status in found)]
    for row, below in zip(rows, notes, strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
        for note in below:
            yield f"  └ {note}"


def _notes(status: ListenerStatus) -> list[str]:
    return [*([status.reason] if status.reason else []), *map(str, status.paused_handlers)]


def workers_line(workers: Sequence[Worker]) -> str:
    live = [worker for worker in workers if getattr(worker, "is_live", False)]
    heard = ", ".join(sorted(queues_heard(workers)))
    if not heard:
        return "workers: none seen"
    others = sum(worker.version != __version__ for worker in live)
    apart = f" ({others} of another version than {__version__})" if others else ""
    return f"workers: {len(live)} seen{apart}, queues: {heard}"


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
