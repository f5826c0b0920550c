"""The page that Prometheus reads: the version, what this process counts, or all that count
together, and what the database knows."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from cdcproject.process.build_info import BuildInfo
from cdcproject.process.metrics import Shared, is_shared
from consumer.status.db_metrics import State

CONTENT_TYPE = CONTENT_TYPE_LATEST
_build, _state = BuildInfo(), State()


def page() -> bytes:
    """In the text format. Within a few seconds, whatever the database does."""
    counted = generate_latest(Shared() if is_shared() else REGISTRY)
    return generate_latest(_build) + counted + generate_latest(_state)
