"""The Celery queue of a handler, or of a task of another project."""

from __future__ import annotations

from celery import current_app

from handlers.sdk import registry

#: The queue of a task of another project, unless its mapping names one: Celery's own default.
EXTERNAL_QUEUE = "celery"


def queue_of(handler: str, queue: str, *, is_external: bool = False) -> str:
    """The Celery queue: the mapping's, then the handler's, then the default: CDC_QUEUE, or Celery's
    own for a task of another project."""
    if is_external:
        return queue or EXTERNAL_QUEUE
    registered = registry.find(handler)
    chosen = queue or (registered.queue if registered else None)
    return chosen or str(current_app.conf.task_default_queue)
