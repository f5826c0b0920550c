"""What a process that reports incidents counts; docs/metrics.md."""

from __future__ import annotations

from django.db import transaction
from prometheus_client import Counter

OPENED = Counter("cdc_incidents_opened", "Incidents opened.", ["kind"])


def opened(kind: str) -> None:
    """Once the transaction is committed. Inside any transaction."""

    def count() -> None:  # by name: Django 5.2 says which it was when it fails
        OPENED.labels(kind).inc()

    transaction.on_commit(count, robust=True)
