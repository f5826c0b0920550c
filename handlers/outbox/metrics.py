"""What a process that publishes deliveries counts, and how to count in no one's way."""

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
    """What cannot be counted, since the folder for it is gone or full, is handled all the same."""

    @wraps(count)
    def counted(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            count(*args, **kwargs)
        except OSError as error:
            _tell(str(error))

    return counted


@cache
def _tell(reason: str) -> None:
    """Once."""
    log.warning("metrics are not counted", reason=reason)


@harmless
def published(messages: Sequence[Message]) -> None:
    """They are with the broker."""
    counts: Counts[str] = Counts()
    for message in messages:
        counts[message.queue] += len(message.ids)
    for queue, count in counts.items():
        PUBLISHED.labels(queue).inc(count)


@harmless
def unreadable(reason: str, queue: str) -> None:
    """A worker discards a message. `reason` holds nothing of it; `queue` is one that the worker
    listens to, or empty."""
    log.warning("unreadable message discarded", reason=reason, queue=queue)
    UNREADABLE.labels(queue).inc()


@harmless
def set_aside(queue: str) -> None:
    """A worker has put a message of an unknown task into another queue."""
    UNKNOWN_TASKS.labels(queue).inc()


def seconds_since(committed: int, moment: datetime) -> float:
    """`committed`: milliseconds. Two clocks: nothing came before it was made."""
    return max(0.0, moment.timestamp() - committed / 1000)
