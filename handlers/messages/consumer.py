"""A worker's message consumer that survives unreadable messages and keeps those of unknown tasks.

Celery's own consumer discards messages of unknown tasks, and some unreadable messages end it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from celery.worker.consumer import Consumer as CelerysConsumer
from django.conf import settings

from cdcproject.process.redis_transport import is_of_the_connection
from handlers.messages.checks import Unreadable, check, task_of
from handlers.messages.unknown_tasks import Reporter, Sender, came_from
from handlers.outbox import metrics

log = structlog.get_logger(__name__)

#: How long a message that cannot be moved is held before it is requeued.
AGAIN_SECONDS = 30.0


class Consumer(CelerysConsumer):  # type: ignore[misc]
    """The consumer of every worker.

    Gossip and mingle are off: workers need not know each other, and both would make them read
    events that any client of the broker can publish.
    """

    def __init__(self, *args: Any, worker_options: Any = None, **kwargs: Any) -> None:
        self._sender = Sender()
        self._reporter = Reporter()
        alone = {"without_gossip": True, "without_mingle": True}
        super().__init__(*args, worker_options={**(worker_options or {}), **alone}, **kwargs)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        receive = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> Any:
            try:
                task = task_of(message)
                if task is None:
                    raise Unreadable("it names no task")
                if task not in self.strategies:
                    return self.on_unknown_task(None, message, KeyError(task))
                check(self.app, message, task)
                return receive(message)
            except Unreadable as error:
                self._discard(message, str(error))
            except Exception as error:
                if is_of_the_connection(error, self.connection_errors):
                    raise
                self._discard(message, f"unforeseen: {type(error).__name__}")

        return on_task_received

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Move the message to the queue for unknown tasks, then acknowledge it."""
        task = str(task_of(message))
        queue = self._queue_of(message)
        about = {"task": task, "queue": queue, "kept_in": settings.CDC_UNKNOWN_QUEUE}
        if queue == settings.CDC_UNKNOWN_QUEUE:  # a worker consumes the queue for unknown tasks
            log.warning("message of an unknown task left in its queue", **about)
            self._give_back_later(message)
            return
        try:
            self._sender.send(message, settings.CDC_UNKNOWN_QUEUE)
        except Exception as error:
            log.exception(
                "message of an unknown task cannot be moved; will retry", **about, exc_info=error
            )
            self._give_back_later(message)
            return
        message.ack_log_error(log, self.connection_errors)
        metrics.set_aside(queue)
        log.warning("message of an unknown task moved to its own queue", **about)
        self._reporter.report(task, queue)

    def _give_back_later(self, message: Any) -> None:
        """Requeue a message later, with one more message allowed to the worker until then."""
        self.qos.increment_eventually()

        def give_back() -> None:
            self.qos.decrement_eventually()
            message.reject_log_error(log, self.connection_errors, requeue=True)

        self.timer.call_after(AGAIN_SECONDS, give_back)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self._discard(message, "it names no task")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._discard(message, f"Celery cannot read it ({type(exc).__name__})")

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Count and acknowledge an undecodable message; control messages cannot be rejected."""
        metrics.unreadable(
            f"its body cannot be decoded ({type(exc).__name__})", self._queue_of(message)
        )
        message.ack_log_error(log, self.connection_errors)

    def _queue_of(self, message: Any) -> str:
        """Return the queue that a message came from, or "" if this worker does not consume it."""
        queue = came_from(message)
        return queue if queue in self.app.amqp.queues.consume_from else ""

    def _discard(self, message: Any, reason: str) -> None:
        metrics.unreadable(reason, self._queue_of(message))
        if not message.acknowledged:
            message.reject_log_error(log, self.connection_errors)
