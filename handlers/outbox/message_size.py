"""Message and batch sizes: limits, and larger messages for queues in which messages wait."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from handlers.broker import queue_length
from handlers.sdk.registry import Handler

#: The largest number of deliveries in a message, for a handler that takes one change at a time.
MOST = 100
#: The factor by which a batch shrinks after each failure.
SMALLER = 10
#: The number of messages that deliveries published together are spread over, for several workers.
SPREAD = 16
#: The minimum time between two queries of a queue's length.
LOOK_SECONDS = 0.5
#: The age from which a queue's length is ignored.
FRESH_SECONDS = 2.0
Item = TypeVar("Item")

#: The length of each queue, and the time at which it was queried.
_lengths: dict[str, tuple[int, float]] = {}


def size_limit(handler: Handler[Any], counted: int, attempts: int) -> int:
    """Return the size limit of a message or batch after `counted` of the allowed `attempts`.

    It shrinks, because a change that kills its process must not use up the others' attempts.
    """
    if handler.batch is None:
        return 1 if counted or attempts == 1 else MOST
    if counted and counted >= attempts - 1:
        return 1
    return max(1, int(handler.batch // SMALLER**counted))


def spread(count: int, waiting: int = 0) -> int:
    """Return the message size for `count` deliveries published together.

    `waiting` messages in the queue keep the workers busy already.
    """
    messages = max(1, SPREAD - waiting)
    return max(1, min(MOST, count // messages))


def look_into(queues: Iterable[str]) -> None:
    """Query the lengths of queues, at most every LOOK_SECONDS. Raises BrokerUnavailable."""
    now = time.monotonic()
    for queue in set(queues):
        if queue not in _lengths or now - _lengths[queue][1] >= LOOK_SECONDS:
            _lengths[queue] = queue_length(queue) or 0, now


def messages_waiting(queue: str) -> int:
    """Return the queue's length, or 0 if it was queried too long ago."""
    length, queried_at = _lengths.get(queue, (0, 0.0))
    return length if time.monotonic() - queried_at <= FRESH_SECONDS else 0


def grouped(items: Sequence[tuple[tuple[Hashable, int], Item]]) -> Iterator[list[Item]]:
    """Group the items by kind, in groups no larger than the second part of the kind allows."""
    groups: dict[tuple[Hashable, int], list[Item]] = {}
    for kind, item in items:
        groups.setdefault(kind, []).append(item)
    for (_, size), group in groups.items():
        for start in range(0, len(group), size):
            yield group[start : start + size]
