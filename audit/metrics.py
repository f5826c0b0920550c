"""What a process that reports incidents counts; docs/metrics.md."""

from __future__ import annotations

from functools import partial

from django.db import transaction
from prometheus_client import Counter

OPENED = Counter("cdc_incidents_opened", "Incidents opened.", ["kind"])


def opened(kind: str) -> None:
    """Once the transaction is committed. Inside any transaction."""
    transaction.on_commit(partial(_count, kind), robust=True)


def _count(kind: str) -> None:
    OPENED.labels(kind).inc()
