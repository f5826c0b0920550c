"""The status of each listener, as values and as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, OuterRef, Subquery

from audit.log.throughput import Usage, usages
from audit.models import AuditLogEntry, Incident
from cdcproject.version import __version__
from consumer.incidents import utc_of
from handlers.mappings import pause
from handlers.models import Delivery, Worker
from handlers.reporting.backlog import Backlog, backlog
from handlers.reporting.queue_coverage import queues_heard
from listeners.listener_state import runway_hours, standing
from listeners.models import Listener, Position

#: The most deliveries that `statuses` counts of each state; small numbers are exact.
COUNTED = 50_000


@dataclass(frozen=True)
class PausedHandler:
    """A handler mapping that an operator paused."""

    on: str
    entity: str
    handler: str
    since: datetime
    by: str
    reason: str
    #: Deliveries, in any state, that start only after the handler is resumed. A lower bound if
    #: `or_more`.
    waiting: int
    or_more: bool

    def __str__(self) -> str:
        number = f"{self.waiting:,}{'+' if self.or_more else ''}"
        why = f" ({self.reason})" if self.reason else ""
        return (
            f"{self.handler} is paused for {self.on} {self.entity} since {_clock(self.since)} by "
            f"{self.by}{why}: {number} waiting"
        )


@dataclass(frozen=True)
class ListenerStatus:
    """The status of one listener; times are UTC."""

    listener: str
    transport: str
    enabled: bool
    state: str
    reason: str | None
    #: The process that holds the live lease, or None.
    leader: str | None
    #: When the last recorded change was committed in Salesforce.
    last_event_at: datetime | None
    #: When Salesforce last answered, with or without changes.
    last_received_at: datetime | None
    #: Time from the commit of the last streamed change to its receipt.
    lag_seconds: float | None
    #: Hours until the stored position expires, 0 once it has. A listener that is stopped for longer
    #: misses changes.
    runway_hours: float | None
    replay_id: str | None
    #: Number of deliveries by state, for every state.
    backlog: dict[str, int]
    #: States with more deliveries than were counted: their numbers are lower bounds.
    capped: list[str]
    open_incidents: int
    #: Paused handlers: the part of the backlog that waits for them is not stuck.
    paused_handlers: list[PausedHandler]
    #: Events that Salesforce delivered in the last 24 hours, and the org's daily limit.
    usage: Usage


def statuses(now: datetime) -> list[ListenerStatus]:
    """Return the status of every listener, ordered by name. Reads only; each number is as of its
    own query."""
    return [status for _, status in by_listener(now, backlog(COUNTED, with_ended=True))]


def by_listener(
    now: datetime,
    counts: Backlog,
    used: Mapping[int, Usage] | None = None,
) -> list[tuple[Listener, ListenerStatus]]:
    """Return every listener with its status, for callers that have counted the deliveries (and
    the traffic) themselves. The number of queries does not depend on the number of listeners."""
    positions = {position.pk: position for position in Position.objects.with_life()}
    incidents, lags, paused = _open_incidents(), _lags(), _paused()
    used = usages(now) if used is None else used
    none = dict.fromkeys(Delivery.State.values, 0)
    found: list[tuple[Listener, ListenerStatus]] = []
    for listener in Listener.objects.order_by("name"):
        position = positions.get(listener.pk)
        is_live = bool(getattr(position, "is_held", False))
        position = position or Position(listener=listener)
        state = standing(listener, position, now, is_live=is_live)
        # The later time: one is stored every few seconds, the other with each batch.
        received = filter(None, (position.last_received_at, position.last_event_at))
        status = ListenerStatus(
            listener=listener.name,
            transport=listener.transport,
            enabled=listener.enabled,
            state=state.state,
            reason=state.reason,
            leader=position.holder if is_live else None,
            last_event_at=position.last_event_at,
            last_received_at=max(received, default=None),
            lag_seconds=lags.get(listener.pk),
            runway_hours=runway_hours(position, now),
            replay_id=position.replay_id or None,
            backlog={**none, **counts.of(listener.pk)},
            capped=sorted(counts.capped),
            open_incidents=incidents.get(listener.pk, 0),
            paused_handlers=paused.get(listener.pk, []),
            usage=used.get(listener.pk, Usage()),
        )
        found.append((listener, status))
    return found


def _lags() -> dict[int, float]:
    """Return the lag in seconds of each listener's last streamed change, by listener id."""
    # A range instead of an equality, in the order of the index `entry_listener`: for an equality
    # PostgreSQL may scan the whole table backwards to find the entries of an idle listener.
    mine = {"listener_id__gte": OuterRef("pk"), "listener_id__lte": OuterRef("pk")}
    streamed = AuditLogEntry.objects.filter(**mine, source=AuditLogEntry.Source.STREAM)
    newest = Subquery(streamed.order_by("listener_id", "-id").values("pk")[:1])
    ids = Listener.objects.order_by().values_list(newest, flat=True)
    found = AuditLogEntry.objects.filter(pk__in=[pk for pk in ids if pk]).order_by()
    rows = found.values_list("listener_id", "commit_timestamp", "received_at")
    # The clocks of Salesforce and of this machine may differ; a lag is never negative.
    return {
        pk: max(0.0, round((received_at - utc_of(committed)).total_seconds(), 3))
        for pk, committed, received_at in rows
    }


def _open_incidents() -> dict[int, int]:
    open_ones = Incident.objects.filter(closed_at=None).order_by().values_list("listener")
    return dict(open_ones.annotate(count=Count("id")))


def _paused() -> dict[int, list[PausedHandler]]:
    found: defaultdict[int, list[PausedHandler]] = defaultdict(list)
    for paused in pause.paused():
        mapping = paused.mapping
        if mapping.paused_at is None:
            continue
        found[mapping.listener_id].append(
            PausedHandler(
                on=mapping.on,
                entity=mapping.entity,
                handler=paused.handler,
                since=mapping.paused_at,
                by=mapping.paused_by,
                reason=mapping.pause_reason,
                waiting=paused.waiting,
                or_more=paused.is_capped,
            )
        )
    return found


_HEADER = (
    *("LISTENER", "TRANSPORT", "STATE", "LEADER", "LAST EVENT", "LAST RECEIVED"),
    *("LAG", "RUNWAY", "BACKLOG", "INCIDENTS", "24 H"),
)


def table(found: Sequence[ListenerStatus]) -> Iterator[str]:
    """Yield a line for each listener, followed by notes: why it is not running, and which of its
    handlers are paused."""
    rows = [_HEADER, *map(_cells, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, status in zip(rows, [None, *found], strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
        if status is not None:
            for note in filter(None, (status.reason, *map(str, status.paused_handlers))):
                yield f"  └ {note}"


def workers_line(workers: Sequence[Worker]) -> str:
    """Return one line about the Celery workers online and the queues they consume."""
    live = [worker for worker in workers if getattr(worker, "is_live", False)]
    queues = ", ".join(sorted(queues_heard(workers)))
    if not queues:
        return "Celery workers online: 0"
    others = sum(worker.version != __version__ for worker in live)
    remark = f", {others} of them not of version {__version__}" if others else ""
    return f"Celery workers online: {len(live)}{remark} (queues: {queues})"


def internal_errors() -> list[str]:
    """Return a line for each open internal error, about background work of any process."""
    opened = Incident.objects.opened().filter(kind=Incident.Kind.INTERNAL_ERROR).order_by("id")
    return [f"Internal error: {error.summary} {error.action}" for error in opened]


def _cells(status: ListenerStatus) -> tuple[str, ...]:
    counts = [
        f"{count}{'+' if state in status.capped else ''} {state}"
        for state, count in status.backlog.items()
        if count
    ]
    return (
        status.listener,
        status.transport,
        status.state if status.enabled else f"{status.state} (disabled)",
        status.leader or "none",
        _clock(status.last_event_at),
        _clock(status.last_received_at),
        "-" if status.lag_seconds is None else f"{status.lag_seconds:.1f} s",
        "-" if status.runway_hours is None else f"{status.runway_hours:.1f} h",
        ", ".join(counts) or "none",
        str(status.open_incidents),
        str(status.usage),
    )


def _clock(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else "never"
