"""Prometheus counters of published and unreadable messages, and a decorator for safe counting."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, wraps
from typing import TYPE_CHECKING, ParamSpec

import structlog
from prometheus_client import Counter

if TYPE_CHECKING:
    from handlers.types import Message

log = structlog.get_logger(__name__)

Arguments = ParamSpec("Arguments")

PUBLISHED = Counter("cdc_deliveries_published", "Deliveries handed to the broker.", ["queue"])
UNREADABLE = Counter(
    "cdc_unreadable_messages", "Messages that a worker could not read, and discarded.", ["queue"]
)
UNKNOWN_TASKS = Counter(
    "cdc_unknown_task_messages",
    "Messages of tasks that a worker does not know, and put into a queue of their own.",
    ["queue"],
)


def harmless(count: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Decorate a counting function to ignore a missing or full folder for the metrics."""

    @wraps(count)
    def counted(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            count(*args, **kwargs)
        except OSError as error:
            _warn_once(str(error))

    return counted


@cache
def _warn_once(reason: str) -> None:
    log.warning("metrics are not counted", reason=reason)


@harmless
def published(messages: Sequence[Message]) -> None:
    """Count the deliveries of messages that the broker has."""
    counts: Counts[str] = Counts()
    for message in messages:
        counts[message.queue] += len(message.ids)
    for queue, count in counts.items():
        PUBLISHED.labels(queue).inc(count)


@harmless
def unreadable(reason: str, queue: str) -> None:
    """Log and count a discarded message.

    `reason` must not quote the message; `queue` is one that the worker consumes, or empty.
    """
    log.warning("unreadable message discarded", reason=reason, queue=queue)
    UNREADABLE.labels(queue).inc()


@harmless
def set_aside(queue: str) -> None:
    """Count a message of an unknown task that a worker moved to another queue."""
    UNKNOWN_TASKS.labels(queue).inc()


def seconds_since(committed: int, moment: datetime) -> float:
    """Return the seconds since `committed` (ms since 1970), at least 0 as two clocks may differ."""
    return max(0.0, moment.timestamp() - committed / 1000)
