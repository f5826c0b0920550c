"""How many messages wait in each queue, as this process last saw: where many do, nothing is gained
by spreading deliveries over more of them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from handlers.outbox import publish

#: Between two looks into a queue.
LOOK_SECONDS = 0.5
#: A look that is older says nothing about now.
FRESH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Seen:
    waiting: int
    at: float


_seen: dict[str, Seen] = {}


def look(queues: Iterable[str]) -> None:
    """Count the messages in the queues that were not looked into just now. Raises
    BrokerUnavailable."""
    now = time.monotonic()
    for queue in set(queues):
        if queue not in _seen or now - _seen[queue].at >= LOOK_SECONDS:
            _seen[queue] = Seen(publish.queue_length(queue) or 0, now)


def waiting(queue: str) -> int:
    """Return how many messages were last seen in the queue, and 0 where that was long ago."""
    seen = _seen.get(queue)
    if seen is None or time.monotonic() - seen.at > FRESH_SECONDS:
        return 0
    return seen.waiting
