"""What the database knows, for Prometheus: the same from each process that is asked; take the max.

Read when it is asked for, in a few queries that indexes answer, however much was recorded.
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
from consumer.status.cached_reads import BackgroundRead
from consumer.status.listeners import ListenerStatus, by_listener
from handlers.models import Delivery, HandlerMapping
from handlers.reporting import queue_coverage
from handlers.reporting.backlog import STATES, Backlog, backlog
from handlers.sdk.queues import queue_of
from listeners.listener_state import STATES as STANDINGS
from listeners.models import Listener

log = structlog.get_logger(__name__)

#: Seconds after which a statement is broken off, where the database can.
LONGEST = 3.0
#: Seconds to wait for the database: less than a scrape may take.
PATIENCE_SECONDS = 4.0
#: Seconds for which the samples are used again.
KEPT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Gauge:
    name: str
    says: str
    labels: tuple[str, ...] = ("listener",)


ENABLED = Gauge("cdc_listener_enabled", "1 where a listener is to run.")
STATE = Gauge("cdc_listener_state", "1 for the state that it is in.", ("listener", "state"))
LAST_RECEIVED = Gauge("cdc_last_received_timestamp_seconds", "When Salesforce last answered.")
LAST_EVENT = Gauge(
    "cdc_last_event_timestamp_seconds", "When the last recorded change was committed."
)
LAG = Gauge("cdc_lag_seconds", "Of the last change, from its commit to its receipt.")
RUNWAY = Gauge("cdc_runway_hours", "Until Salesforce forgets the stored position.")
BACKLOG = Gauge(
    "cdc_backlog_deliveries",
    "Deliveries that have not ended, or failed for good; of each state up to 10000.",
    ("listener", "state"),
)
OLDEST = Gauge("cdc_oldest_queued_seconds", "Since the oldest queued delivery was published.", ())
PAUSED = Gauge(
    "cdc_paused_deliveries",
    "Deliveries that wait for a paused handler, up to 10000; no sample: it is not paused.",
    ("listener", "handler"),
)
DELIVERED = Gauge("cdc_events_delivered_24h", "Events delivered in 24 hours.")
ORG_LIMIT = Gauge("cdc_org_events_limit", "Events that the org allows a day.")
ORG_REMAINING = Gauge("cdc_org_events_remaining", "Of those, how many are left.")
INCIDENTS = Gauge("cdc_incidents_open", "Open incidents.", ("listener", "kind"))
WORKERS = Gauge("cdc_workers", "Workers that are there.", ())
QUEUE_WORKERS = Gauge(
    "cdc_queue_workers", "Of those, how many hear a queue that is used.", ("queue",)
)
READABLE = Gauge("cdc_state_readable", "0: the database was not read, and tells nothing here.", ())

GAUGES = (
    *(ENABLED, STATE, LAST_RECEIVED, LAST_EVENT, LAG, RUNWAY, BACKLOG, OLDEST, PAUSED, DELIVERED),
    *(ORG_LIMIT, ORG_REMAINING, INCIDENTS, WORKERS, QUEUE_WORKERS, READABLE),
)

Sample = tuple[Gauge, tuple[str, ...], float]


class State:
    """Collects it; nothing but READABLE where the database does not answer in time."""

    def __init__(self) -> None:
        self._read = BackgroundRead(
            lambda: list(_read(timezone.now())), name="metrics", seconds=KEPT_SECONDS
        )

    def collect(self) -> Iterator[GaugeMetricFamily]:
        found = self._latest()
        samples = [(READABLE, (), float(found is not None)), *(found or ())]
        families = {one: GaugeMetricFamily(one.name, one.says, labels=one.labels) for one in GAUGES}
        for gauge, labels, value in samples:
            families[gauge].add_metric(labels, value)
        yield from families.values()

    def _latest(self) -> list[Sample] | None:
        try:
            return self._read.begin().result(PATIENCE_SECONDS)
        except Exception as error:
            reason = str(error).strip() or type(error).__name__
            log.warning("the database was not read for metrics", reason=reason)
            return None


def _read(now: datetime) -> Iterator[Sample]:
    with _in_time():
        waiting = backlog()
        for listener, status in by_listener(now, waiting.by_listener):
            yield from _of_listener(listener, status)
            yield from _of_backlog(listener, waiting)
        yield from _incidents()
        yield from _workers()
        yield OLDEST, (), _oldest(now)


def _of_listener(listener: Listener, status: ListenerStatus) -> Iterator[Sample]:
    known: Mapping[Gauge, float | None] = {
        ENABLED: float(listener.enabled),
        LAST_RECEIVED: _moment(status.last_received_at),
        LAST_EVENT: _moment(status.last_event_at),
        LAG: status.lag_seconds,
        RUNWAY: status.runway_hours,
        DELIVERED: status.usage.delivered,
        ORG_LIMIT: status.usage.org_limit,
        ORG_REMAINING: status.usage.org_remaining,
    }
    name = listener.name
    yield from ((gauge, (name,), value) for gauge, value in known.items() if value is not None)
    for state in STANDINGS:
        yield STATE, (name, state), float(status.state == state)
    paused: Counter[str] = Counter()
    for one in status.paused_handlers:
        paused[one.handler] += one.waiting
    for handler, count in paused.items():
        yield PAUSED, (name, handler), count


def _moment(known: datetime | None) -> float | None:
    return None if known is None else known.timestamp()


def _of_backlog(listener: Listener, waiting: Backlog) -> Iterator[Sample]:
    counts = waiting.of(listener.pk)
    for state in STATES:
        yield BACKLOG, (listener.name, state.value), counts[state.value]


def _incidents() -> Iterator[Sample]:
    rows = Incident.objects.opened().order_by().values_list("listener__name", "kind")
    for name, kind, count in rows.annotate(Count("id")):
        yield INCIDENTS, (name or "", kind), count


def _workers() -> Iterator[Sample]:
    live = [one for one in queue_coverage.seen() if getattr(one, "is_live", False)]
    yield WORKERS, (), len(live)
    mappings = HandlerMapping.objects.exclude(handler="").order_by()
    wanted = mappings.values_list("handler", "queue").distinct()
    used = {queue_of(handler, queue) for handler, queue in wanted}
    for queue in sorted(used | queue_coverage.queues_heard(live)):
        yield QUEUE_WORKERS, (queue,), sum(queue in one.queues for one in live)


def _oldest(now: datetime) -> float:
    queued = Delivery.objects.filter(state=Delivery.State.QUEUED).order_by("queued_at")
    since = queued.values_list("queued_at", flat=True).first()
    return max(0.0, (now - since).total_seconds()) if since else 0.0


@contextmanager
def _in_time() -> Iterator[None]:
    """For a transaction alone: behind a pooler the session is another's next."""
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {LONGEST * 1000:.0f}")
        yield
