"""Prometheus counters of the reports of external tasks, described in docs/metrics.md."""

from __future__ import annotations

from prometheus_client import Counter

from handlers.outbox.metrics import harmless

REPORTS = Counter(
    "cdc_task_reports",
    "Reports of external tasks: settled, late (the attempt had ended before), forged (not ours), "
    "compressed (in a way that is not read). "
    "error: an unexpected error broke off the reading.",
    ["destination", "result"],
)


@harmless
def count(destination: str, result: str, number: int) -> None:
    """Count reports that were read from a destination's queue."""
    if number:
        REPORTS.labels(destination, result).inc(number)
