"""Whether somebody hears what is sent to the handlers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from handlers.models import HandlerMapping, Worker
from handlers.sdk.queues import queue_of


def seen() -> list[Worker]:
    """Those that are there and those that went without a word not long ago; `is_live` tells."""
    return list(Worker.objects.with_life())


def queues_heard(workers: Iterable[Worker]) -> set[str]:
    """By those that are there."""
    return {
        queue for worker in workers if getattr(worker, "is_live", False) for queue in worker.queues
    }


def unheard(mappings: Iterable[HandlerMapping], heard: set[str]) -> dict[str, int]:
    """The queues that mappings send to and no worker hears, with how many mappings do.

    A task that runs elsewhere is heard by workers that are not ours.
    """
    wanted = Counter(queue_of(one.handler, one.queue) for one in mappings if one.handler)
    return {queue: count for queue, count in sorted(wanted.items()) if queue not in heard}
