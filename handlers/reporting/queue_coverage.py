"""Find queues that handlers are sent to and no worker consumes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from handlers.models import HandlerMapping, Worker
from handlers.sdk.registry import queue_of


def seen() -> list[Worker]:
    """Return the workers that are online or were lost recently; `is_live` tells which."""
    return list(Worker.objects.with_life())


def queues_heard(workers: Iterable[Worker]) -> set[str]:
    """Return the queues that online workers consume."""
    return {
        queue for worker in workers if getattr(worker, "is_live", False) for queue in worker.queues
    }


def unheard(mappings: Iterable[HandlerMapping], heard: set[str]) -> dict[str, int]:
    """Return the queues without a worker, with the number of mappings that send to each.

    Mappings to external tasks are left out: workers of other projects run them.
    """
    wanted = Counter(
        queue_of(mapping.handler, mapping.queue) for mapping in mappings if mapping.handler
    )
    return {queue: count for queue, count in sorted(wanted.items()) if queue not in heard}
