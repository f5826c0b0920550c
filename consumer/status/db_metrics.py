"""Prometheus gauges read from the database. Every process exports the same values: use max().

They are read at each scrape, in a few indexed queries whose cost does not grow with the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone
from prometheus_client.metrics_core import GaugeMetricFamily

from audit.models import Incident
from consumer.monitoring import destinations
from consumer.status.cached_reads import BackgroundRead
from consumer.status.listeners import ListenerStatus, by_listener
from handlers.models import Delivery, Destination, HandlerMapping
from handlers.reporting import queue_coverage
from handlers.reporting.backlog import STATES, Backlog, backlog
from handlers.sdk.registry import queue_of
from listeners.listener_state import STATES as STANDINGS
from listeners.models import Listener
from mirror import status as mirror_status
from mirror.models import DirtyRow, Mirror

log = structlog.get_logger(__name__)

#: The statement timeout in seconds, on PostgreSQL.
LONGEST = 3.0
#: Seconds to wait for the database, less than a scrape may take.
PATIENCE_SECONDS = 4.0
#: Seconds for which the samples are reused.
KEPT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Gauge:
    name: str
    description: str
    labels: tuple[str, ...] = ("listener",)


ENABLED = Gauge("cdc_listener_enabled", "1 if the listener is enabled.")
STATE = Gauge(
    "cdc_listener_state", "1 for the current state of the listener.", ("listener", "state")
)
LAST_RECEIVED = Gauge(
    "cdc_last_received_timestamp_seconds", "Time of the last response from Salesforce."
)
LAST_EVENT = Gauge("cdc_last_event_timestamp_seconds", "Commit time of the last recorded change.")
LAG = Gauge("cdc_lag_seconds", "Time from the commit of the last change to its receipt.")
RUNWAY = Gauge("cdc_runway_hours", "Hours until the stored position expires.")
BACKLOG = Gauge(
    "cdc_backlog_deliveries",
    "Unfinished and dead deliveries by state, counted up to 10000 each.",
    ("listener", "state"),
)
OLDEST = Gauge(
    "cdc_oldest_queued_seconds",
    "Seconds since the oldest queued delivery was published; without tracked external tasks.",
    (),
)
PAUSED = Gauge(
    "cdc_paused_deliveries",
    "Deliveries waiting for a paused handler, up to 10000; no sample if not paused.",
    ("listener", "handler"),
)
DELIVERED = Gauge(
    "cdc_events_delivered_24h", "Events that Salesforce delivered in the last 24 hours."
)
ORG_LIMIT = Gauge("cdc_org_events_limit", "Daily limit of delivered events of the org.")
ORG_REMAINING = Gauge("cdc_org_events_remaining", "Events left of the org's daily limit.")
INCIDENTS = Gauge("cdc_incidents_open", "Open incidents.", ("listener", "kind"))
MIRROR_ROWS = Gauge("cdc_mirror_rows", "Rows of the mirror that are not deleted.", ("model",))
MIRROR_THERE = Gauge(
    "cdc_mirror_rows_in_salesforce",
    "Records in Salesforce when they were last counted.",
    ("model",),
)
MIRROR_IN_SYNC = Gauge(
    "cdc_mirror_in_sync", "1 if the mirror is loaded and needs no attention.", ("model",)
)
MIRROR_AS_OF = Gauge(
    "cdc_mirror_as_of_timestamp_seconds",
    "Time until which the mirror is proven to have every change; no sample without a proof.",
    ("model",),
)
MIRROR_DIRTY = Gauge(
    "cdc_mirror_dirty", "Records of the mirror that are to be read again.", ("model",)
)
MIRROR_OPEN = Gauge(
    "cdc_mirror_differences_open", "Differences of the mirror that are not repaired.", ("model",)
)
MIRROR_PROGRESS = Gauge(
    "cdc_mirror_progress_ratio",
    "Part of a mirror's run in progress that is done; no sample if its size is unknown.",
    ("model", "kind"),
)
WORKERS = Gauge("cdc_workers", "Celery workers online.", ())
QUEUE_WORKERS = Gauge(
    "cdc_queue_workers", "Celery workers online that consume a queue in use.", ("queue",)
)
DESTINATION_UP = Gauge(
    "cdc_destination_up",
    "0 while an incident says that the destination's broker takes no connection, else 1.",
    ("destination",),
)
READABLE = Gauge(
    "cdc_state_readable",
    "0 if the database could not be read; the other gauges then have no samples.",
    (),
)

GAUGES = (
    *(ENABLED, STATE, LAST_RECEIVED, LAST_EVENT, LAG, RUNWAY, BACKLOG, OLDEST, PAUSED, DELIVERED),
    *(ORG_LIMIT, ORG_REMAINING, INCIDENTS, WORKERS, QUEUE_WORKERS, READABLE),
    *(MIRROR_ROWS, MIRROR_THERE, MIRROR_IN_SYNC, MIRROR_AS_OF, MIRROR_DIRTY, MIRROR_OPEN),
    *(MIRROR_PROGRESS, DESTINATION_UP),
)

Sample = tuple[Gauge, tuple[str, ...], float]


class State:
    """Collects the gauges. Only READABLE has a sample if the database does not answer in time."""

    def __init__(self) -> None:
        self._read = BackgroundRead(
            lambda: list(_read(timezone.now())), name="metrics", seconds=KEPT_SECONDS
        )

    def collect(self) -> Iterator[GaugeMetricFamily]:
        found = self._latest()
        samples = [(READABLE, (), float(found is not None)), *(found or ())]
        families = {
            gauge: GaugeMetricFamily(gauge.name, gauge.description, labels=gauge.labels)
            for gauge in GAUGES
        }
        for gauge, labels, value in samples:
            families[gauge].add_metric(labels, value)
        yield from families.values()

    def _latest(self) -> list[Sample] | None:
        try:
            return self._read.begin().result(PATIENCE_SECONDS)
        except Exception as error:
            reason = str(error).strip() or type(error).__name__
            log.warning("metrics not readable from the database", reason=reason)
            return None


def _read(now: datetime) -> Iterator[Sample]:
    with _statement_timeout():
        waiting = backlog()
        for listener, status in by_listener(now, waiting):
            yield from _of_listener(listener, status)
            yield from _of_backlog(listener, waiting)
        yield from _incidents()
        yield from _mirrors(now)
        yield from _destinations()
        yield from _workers()
        yield OLDEST, (), _oldest(now)


def _of_listener(listener: Listener, status: ListenerStatus) -> Iterator[Sample]:
    values: Mapping[Gauge, float | None] = {
        ENABLED: float(listener.enabled),
        LAST_RECEIVED: _timestamp(status.last_received_at),
        LAST_EVENT: _timestamp(status.last_event_at),
        LAG: status.lag_seconds,
        RUNWAY: status.runway_hours,
        DELIVERED: status.usage.delivered,
        ORG_LIMIT: status.usage.org_limit,
        ORG_REMAINING: status.usage.org_remaining,
    }
    name = listener.name
    yield from ((gauge, (name,), value) for gauge, value in values.items() if value is not None)
    for state in STANDINGS:
        yield STATE, (name, state), float(status.state == state)
    paused: Counter[str] = Counter()
    for paused_handler in status.paused_handlers:
        paused[paused_handler.handler] += paused_handler.waiting
    for handler, count in paused.items():
        yield PAUSED, (name, handler), count


def _timestamp(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _of_backlog(listener: Listener, waiting: Backlog) -> Iterator[Sample]:
    counts = waiting.of(listener.pk)
    for state in STATES:
        yield BACKLOG, (listener.name, state.value), counts[state.value]


def _incidents() -> Iterator[Sample]:
    rows = Incident.objects.opened().order_by().values_list("listener__name", "kind")
    for name, kind, count in rows.annotate(Count("id")):
        yield INCIDENTS, (name or "", kind), count


def _mirrors(now: datetime) -> Iterator[Sample]:
    counted = DirtyRow.objects.order_by().values_list("mirror_id").annotate(Count("id"))
    dirty = Counter[int](dict(counted))
    for status in mirror_status.statuses(now):
        model = (status.mirror.model,)
        values: Mapping[Gauge, float | None] = {
            MIRROR_ROWS: status.rows,
            MIRROR_THERE: status.rows_in_salesforce,
            MIRROR_IN_SYNC: float(status.state == Mirror.Phase.IN_SYNC),
            MIRROR_AS_OF: _timestamp(status.in_sync_as_of),
            MIRROR_DIRTY: dirty[status.mirror.pk],
            MIRROR_OPEN: status.differences,
        }
        yield from ((gauge, model, value) for gauge, value in values.items() if value is not None)
        run = status.progress.run if status.progress else None
        if run is not None and run.total:
            yield MIRROR_PROGRESS, (*model, run.kind), min(1.0, run.done / run.total)


def _destinations() -> Iterator[Sample]:
    broken = destinations.down()
    for name in Destination.objects.values_list("name", flat=True):
        yield DESTINATION_UP, (name,), float(name not in broken)


def _workers() -> Iterator[Sample]:
    live = [worker for worker in queue_coverage.seen() if getattr(worker, "is_live", False)]
    yield WORKERS, (), len(live)
    mappings = HandlerMapping.objects.exclude(handler="").order_by()
    wanted = mappings.values_list("handler", "queue").distinct()
    used = {queue_of(handler, queue) for handler, queue in wanted}
    for queue in sorted(used | queue_coverage.queues_heard(live)):
        yield QUEUE_WORKERS, (queue,), sum(queue in worker.queues for worker in live)


def _oldest(now: datetime) -> float:
    # A tracked external task may be running: it stays queued until its worker reports its end.
    queued = Delivery.objects.filter(state=Delivery.State.QUEUED, is_tracked=False)
    queued = queued.order_by("queued_at")
    since = queued.values_list("queued_at", flat=True).first()
    return max(0.0, (now - since).total_seconds()) if since else 0.0


@contextmanager
def _statement_timeout() -> Iterator[None]:
    """Limit the statements in a transaction: behind a pooler, the session is shared with others."""
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {LONGEST * 1000:.0f}")
        yield
