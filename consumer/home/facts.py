"""What the page is about, read in a fixed number of queries, however much there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, Q, Sum

from audit.models import Incident, Throughput
from audit.traffic import DAY
from consumer.home.reader import Reader
from consumer.status import ListenerStatus, by_listener
from handlers import registry, workers
from handlers.backlog import Backlog, backlog
from handlers.models import HandlerMapping, Worker
from listeners.models import Listener

#: Incidents that are named; the others are in their list.
NAMED = 5


@dataclass(frozen=True)
class OpenIncidents:
    count: int = 0
    unacknowledged: int = 0
    newest: Sequence[Incident] = ()


@dataclass(frozen=True)
class Facts:
    """What the reader may not see is empty, or None."""

    now: datetime
    reader: Reader
    listeners: Sequence[tuple[Listener, ListenerStatus]] = ()
    backlog: Backlog = field(default_factory=Backlog)
    incidents: OpenIncidents = field(default_factory=OpenIncidents)
    workers: Sequence[Worker] = ()
    #: Queues that no worker hears, with how many mappings of enabled listeners send there.
    unheard: Mapping[str, int] = field(default_factory=dict)
    #: Names of handlers that are mapped and not registered.
    unregistered: Sequence[str] = ()
    #: By minute, of the last day and of all listeners: entries that were new in the audit log.
    minutes: Mapping[datetime, int] = field(default_factory=dict)

    @property
    def live_workers(self) -> list[Worker]:
        return [worker for worker in self.workers if getattr(worker, "is_live", False)]


def read(reader: Reader, now: datetime) -> Facts:
    """Reads only; each number is as of its own query."""
    waiting = backlog() if reader.sees_deliveries else Backlog()
    seen = workers.seen() if reader.sees_workers else []
    mappings = _mappings() if reader.sees_listeners else []
    heard = workers.queues_heard(seen)
    return Facts(
        now=now,
        reader=reader,
        listeners=by_listener(now, waiting.by_listener) if reader.sees_listeners else (),
        backlog=waiting,
        incidents=_incidents() if reader.sees_incidents else OpenIncidents(),
        workers=seen,
        unheard=workers.unheard(mappings, heard) if reader.sees_workers else {},
        unregistered=sorted({m.handler for m in mappings if not registry.find(m.handler)}),
        minutes=_minutes(now) if reader.sees_entries else {},
    )


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


def _minutes(now: datetime) -> dict[datetime, int]:
    counted = Throughput.objects.filter(minute__gt=now - DAY).order_by().values_list("minute")
    return dict(counted.annotate(Sum("entries")))
