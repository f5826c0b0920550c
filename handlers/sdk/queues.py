"""The choice of the Celery queue for a handler or an external task."""

from __future__ import annotations

from celery import current_app

from handlers.sdk import registry

#: The queue of an external task whose mapping names none: Celery's own default.
EXTERNAL_QUEUE = "celery"


def queue_of(handler: str, queue: str, *, is_external: bool = False) -> str:
    """Return the mapping's queue, else the handler's, else CDC_QUEUE.

    For an external task: the mapping's queue, else Celery's default.
    """
    if is_external:
        return queue or EXTERNAL_QUEUE
    registered = registry.find(handler)
    chosen = queue or (registered.queue if registered else None)
    return chosen or str(current_app.conf.task_default_queue)
