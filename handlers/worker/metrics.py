"""What a process that runs handlers counts; docs/metrics.md."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable, Sequence
from functools import cache

from prometheus_client import Counter, Histogram

from audit.models import AuditLogEntry
from handlers.outbox.metrics import harmless, seconds_since
from handlers.types import Claim, Ended

_OF_A_HANDLER = ["listener", "handler"]
#: Seconds; of what should take none, and may take as long as a handler is away.
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

# `labels` takes longer than to count: there are few of each, and they stay.
_attempts = cache(ATTEMPTS.labels)
_handled = cache(HANDLED.labels)
_run = cache(RUN_SECONDS.labels)
_start = cache(START_SECONDS.labels)
_end_to_end = cache(END_TO_END_SECONDS.labels)


@harmless
def ran(ended: Sequence[Ended]) -> None:
    """A handler was called once, with what became these."""
    if ended:
        first = ended[0]
        seconds = (first.finished_at - first.started_at).total_seconds()
        _run(*_handler(first.claim)).observe(seconds)


@harmless
def settled(ended: Iterable[Ended]) -> None:
    """They are written down: after the commit."""
    counts: Counts[tuple[str, str, str, str | None]] = Counts()
    for one in ended:
        listener, handler = _handler(one.claim)
        state = one.state
        counts[listener, handler, one.kind, state] += 1
        _time(one, listener, handler, is_over=state is not None)
    for (listener, handler, outcome, state), count in counts.items():
        _attempts(listener, handler, outcome).inc(count)
        if state is not None:
            _handled(listener, handler, state).inc(count)


def _time(one: Ended, listener: str, handler: str, *, is_over: bool) -> None:
    """Of what the stream brought, and nobody has sent again."""
    delivery = one.claim.delivery
    if delivery.attempts_before or delivery.entry.source != AuditLogEntry.Source.STREAM:
        return
    if one.claim.attempt == 1:
        waited = one.started_at - delivery.entry.received_at
        _start(listener, handler).observe(max(0.0, waited.total_seconds()))
    if is_over:
        _end_to_end(listener, handler).observe(
            seconds_since(delivery.entry.commit_timestamp, one.finished_at)
        )


def _handler(claim: Claim) -> tuple[str, str]:
    delivery = claim.delivery
    return delivery.entry.listener.name, delivery.handler
