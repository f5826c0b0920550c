"""Messages that the workers understand, while some of them are of another version.

1   `delivery_id`: a message names one delivery
2   `delivery_ids`: it may name many

A worker's presence says up to which format it understands; one of a version from before that says
nothing, and knows the first. A message is of the newest format that every worker of its queue
understands, and where none is seen, of the newest. What a worker refuses all the same (it began a
moment ago) stays queued in the database, and the relay publishes it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from handlers.models.worker import MessageFormat, Worker

NEWEST = max(MessageFormat)
#: Who publishes looks for the workers so rarely.
FRESH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """By queue, what all of its workers understand."""

    formats: dict[str, int]
    at: float


_seen: list[_Seen] = []


def of(queue: str) -> int:
    """Of the messages to a queue."""
    if not _seen or monotonic() - _seen[0].at > FRESH_SECONDS:
        at = monotonic()
        _seen[:] = [_Seen(_understood(), at)]
    return _seen[0].formats.get(queue, NEWEST)


def forget() -> None:
    """What was seen of the workers."""
    _seen.clear()


def _understood() -> dict[str, int]:
    found: dict[str, int] = {}
    for worker in Worker.objects.live():
        for queue in worker.queues:
            found[queue] = min(found.get(queue, NEWEST), worker.understands)
    return found
