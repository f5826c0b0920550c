"""The data of the home page, read in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count, Q, Sum

from audit.log.throughput import DAY, Usage, usages
from audit.models import Incident, Throughput
from console.home.charts import HOUR
from console.job_items import Item, running
from console.navigation import Reader
from consumer.status.cached_reads import CachedReads
from consumer.status.listeners import ListenerStatus, by_listener
from handlers.models import HandlerMapping, Worker
from handlers.reporting import queue_coverage
from handlers.reporting.backlog import Backlog, backlog
from handlers.sdk import registry
from listeners.models import Listener
from mirror.models import Mirror
from mirror.status import in_attention

#: The most open incidents shown; a link leads to the others.
NAMED = 5
Minutes = Mapping[datetime, int]


@dataclass(frozen=True)
class Day:
    """Sums over the last 24 hours, cached: 200 listeners have 288,000 rows."""

    usages: Mapping[int, Usage] = field(default_factory=dict)
    #: Like `Facts.minutes`.
    minutes: Minutes = field(default_factory=dict)


#: The sums of a day may be a minute old; the last hour is read each time.
LAST_DAY: CachedReads[Day] = CachedReads(seconds=60)


@dataclass(frozen=True)
class OpenIncidents:
    count: int = 0
    unacknowledged: int = 0
    newest: Sequence[Incident] = ()


@dataclass(frozen=True)
class Facts:
    """The data of the home page; empty or None where the user may not see it."""

    now: datetime
    reader: Reader
    listeners: Sequence[tuple[Listener, ListenerStatus]] = ()
    backlog: Backlog = field(default_factory=Backlog)
    incidents: OpenIncidents = field(default_factory=OpenIncidents)
    workers: Sequence[Worker] = ()
    #: Queues without a worker, with the number of mappings of enabled listeners that use them.
    unheard: Mapping[str, int] = field(default_factory=dict)
    #: Names of mapped handlers that are not registered.
    unregistered: Sequence[str] = ()
    #: Unfinished redeliveries, reconciliations, exports and pruning.
    long_work: Sequence[Item] = ()
    #: Mirrors that need an operator, with the reason, and the number of all mirrors.
    bad_mirrors: Sequence[tuple[Mirror, str]] = ()
    mirrors: int = 0
    #: New audit log entries of all listeners by minute, over the last day.
    minutes: Minutes = field(default_factory=dict)

    @property
    def live_workers(self) -> list[Worker]:
        return [worker for worker in self.workers if getattr(worker, "is_live", False)]


def read(reader: Reader, now: datetime) -> Facts:
    """Read the facts; each number is as of its own query."""
    waiting = backlog() if reader.sees_deliveries else Backlog()
    day = _day(now) if reader.sees_listeners or reader.sees_entries else Day()
    listeners = by_listener(now, waiting, day.usages) if reader.sees_listeners else ()
    seen = queue_coverage.seen() if reader.sees_workers else []
    mappings = _mappings() if reader.sees_listeners else []
    heard = queue_coverage.queues_heard(seen)
    return Facts(
        now=now,
        reader=reader,
        listeners=listeners,
        backlog=waiting,
        incidents=_incidents() if reader.sees_incidents else OpenIncidents(),
        workers=seen,
        unheard=queue_coverage.unheard(mappings, heard) if reader.sees_workers else {},
        long_work=running(now, reader),
        bad_mirrors=in_attention() if reader.sees_mirrors else (),
        mirrors=Mirror.objects.count() if reader.sees_mirrors else 0,
        unregistered=sorted({m.handler for m in mappings if not registry.find(m.handler)}),
        minutes={**day.minutes, **_minutes(now, HOUR)} if reader.sees_entries else {},
    )


def _day(now: datetime) -> Day:
    return LAST_DAY.get("day", lambda: Day(usages(now), _minutes(now, DAY)))


def _mappings() -> list[HandlerMapping]:
    enabled = HandlerMapping.objects.filter(listener__enabled=True).exclude(handler="")
    return list(enabled.only("handler", "queue"))


def _incidents() -> OpenIncidents:
    open_ones = Incident.objects.filter(closed_at=None)
    counts = open_ones.order_by().aggregate(
        all=Count("id"), new=Count("id", filter=Q(acknowledged_at=None))
    )
    newest = open_ones.select_related("listener").order_by("-id")[:NAMED]
    return OpenIncidents(counts["all"], counts["new"], list(newest))


def _minutes(now: datetime, span: timedelta) -> dict[datetime, int]:
    counted = Throughput.objects.filter(minute__gt=now - span).order_by().values_list("minute")
    return dict(counted.annotate(Sum("entries")))
