"""The counter of opened incidents; see docs/metrics.md."""

from __future__ import annotations

from django.db import transaction
from prometheus_client import Counter

OPENED = Counter("cdc_incidents_opened", "Incidents opened.", ["kind"])


def opened(kind: str) -> None:
    """Count an opened incident when the transaction commits. Inside any transaction."""

    def count() -> None:  # named, since Django 5.2 logs the name when it fails
        OPENED.labels(kind).inc()

    transaction.on_commit(count, robust=True)
