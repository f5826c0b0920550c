"""A short-lived cache of queue lengths, so that full queues get fewer and larger messages."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from handlers.outbox import publish

#: The minimum time between two queries of a queue's length.
LOOK_SECONDS = 0.5
#: The age from which a queue's length is ignored.
FRESH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Seen:
    waiting: int
    at: float


_seen: dict[str, Seen] = {}


def look(queues: Iterable[str]) -> None:
    """Refresh the lengths of queues that are older than LOOK_SECONDS. Raises BrokerUnavailable."""
    now = time.monotonic()
    for queue in set(queues):
        if queue not in _seen or now - _seen[queue].at >= LOOK_SECONDS:
            _seen[queue] = Seen(publish.queue_length(queue) or 0, now)


def waiting(queue: str) -> int:
    """Return the queue's length, or 0 if it was queried too long ago."""
    seen = _seen.get(queue)
    if seen is None or time.monotonic() - seen.at > FRESH_SECONDS:
        return 0
    return seen.waiting
