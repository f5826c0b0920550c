"""The Prometheus metrics of a worker that runs handlers, described in docs/metrics.md."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable, Sequence
from functools import cache

from prometheus_client import Counter, Histogram

from audit.models import AuditLogEntry
from handlers.outbox.metrics import harmless, seconds_since
from handlers.types import Claim, Ended

_OF_A_HANDLER = ["listener", "handler"]
#: Buckets in seconds, for delays that are normally tiny but last as long as workers are away.
_WAITS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
_RUNS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

ATTEMPTS = Counter(
    "cdc_attempts",
    "Attempts that ended, and how: succeeded, skipped, failed, retry (asked for), lost.",
    [*_OF_A_HANDLER, "outcome"],
)
HANDLED = Counter(
    "cdc_deliveries_handled",
    "Deliveries whose last attempt ended: succeeded, skipped or dead.",
    [*_OF_A_HANDLER, "state"],
)
RUN_SECONDS = Histogram(
    "cdc_handler_seconds",
    "A handler's call, with one change or a batch.",
    _OF_A_HANDLER,
    buckets=_RUNS,
)
START_SECONDS = Histogram(
    "cdc_start_seconds",
    "From a change's receipt to the start of its handler, the first time.",
    _OF_A_HANDLER,
    buckets=_WAITS,
)
END_TO_END_SECONDS = Histogram(
    "cdc_end_to_end_seconds",
    "From a change's commit in Salesforce to the end of its handling, retries and all.",
    _OF_A_HANDLER,
    buckets=_WAITS,
)

# Cached, because `labels` takes longer than counting; there are few combinations of labels.
_attempts = cache(ATTEMPTS.labels)
_handled = cache(HANDLED.labels)
_run = cache(RUN_SECONDS.labels)
_start = cache(START_SECONDS.labels)
_end_to_end = cache(END_TO_END_SECONDS.labels)


@harmless
def ran(ended: Sequence[Ended]) -> None:
    """Observe the durations of calls of handlers. The runs that a call ended began together."""
    for run in {run.started_at: run for run in ended}.values():
        seconds = (run.finished_at - run.started_at).total_seconds()
        _run(*_handler(run.claim)).observe(seconds)


@harmless
def settled(ended: Iterable[Ended]) -> None:
    """Count settled runs. After the commit."""
    counts: Counts[tuple[str, str, str, str | None]] = Counts()
    for run in ended:
        listener, handler = _handler(run.claim)
        state = run.state
        counts[listener, handler, run.kind, state] += 1
        _time(run, listener, handler, is_over=state is not None)
    for (listener, handler, outcome, state), count in counts.items():
        _attempts(listener, handler, outcome).inc(count)
        if state is not None:
            _handled(listener, handler, state).inc(count)


def _time(run: Ended, listener: str, handler: str, *, is_over: bool) -> None:
    """Observe delays of streamed changes that were not redelivered."""
    delivery = run.claim.delivery
    if delivery.attempts_before or delivery.entry.source != AuditLogEntry.Source.STREAM:
        return
    if run.claim.attempt == 1:
        waited = run.started_at - delivery.entry.received_at
        _start(listener, handler).observe(max(0.0, waited.total_seconds()))
    if is_over:
        _end_to_end(listener, handler).observe(
            seconds_since(delivery.entry.commit_timestamp, run.finished_at)
        )


def _handler(claim: Claim) -> tuple[str, str]:
    delivery = claim.delivery
    return delivery.entry.listener.name, delivery.handler
