"""All metrics that the code exports, by their names in Prometheus."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from audit.models import incident as of_incidents
from cdcproject.process.metrics import BUILD_INFO, BUILD_LABELS
from cdcproject.web import metrics
from consumer.status import db_metrics
from consumer.stream import metrics as of_listeners
from handlers.outbox import metrics as of_publishing
from handlers.tracking import metrics as of_tasks
from handlers.worker import metrics as worker_metrics
from listeners import threads
from mirror.verify import metrics as of_verifications

COUNTING = (
    *(of_incidents, metrics, of_listeners, of_publishing, of_tasks, of_verifications),
    *(threads, worker_metrics),
)


@dataclass(frozen=True)
class Exported:
    kind: str
    labels: frozenset[str]
    #: Every process that reads the database exports the same value.
    is_state: bool = False


@cache
def catalogue() -> dict[str, Exported]:
    found = {BUILD_INFO: Exported("gauge", frozenset(BUILD_LABELS))}
    for module in COUNTING:
        for metric in vars(module).values():
            if isinstance(metric, Counter | Gauge | Histogram):
                [family] = metric.collect()
                suffix = "_total" if family.type == "counter" else ""
                labels = frozenset(metric._labelnames)
                found[family.name + suffix] = Exported(family.type, labels)
    for one in db_metrics.GAUGES:
        found[one.name] = Exported("gauge", frozenset(one.labels), is_state=True)
    return found


def series() -> dict[str, Exported]:
    """Return the metrics by the names of their samples, with Prometheus's own."""
    found = {"up": Exported("gauge", frozenset())}
    for name, one in catalogue().items():
        if one.kind != "histogram":
            found[name] = one
            continue
        for suffix, more in (("_bucket", {"le"}), ("_sum", set()), ("_count", set())):
            found[name + suffix] = Exported("counter", one.labels | more)
    return found
