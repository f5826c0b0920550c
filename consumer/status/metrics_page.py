"""The page that Prometheus scrapes: the version, the counters of this process (or of all processes
that share them), and the gauges from the database."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from cdcproject.process.metrics import BuildInfo, Shared, is_shared
from consumer.status.db_metrics import State

CONTENT_TYPE = CONTENT_TYPE_LATEST
_build, _state = BuildInfo(), State()


def page() -> bytes:
    """Return the page in the text format, within a few seconds even if the database hangs."""
    counted = generate_latest(Shared() if is_shared() else REGISTRY)
    return generate_latest(_build) + counted + generate_latest(_state)
