"""Keeps messages of unknown tasks in a separate queue, and sends them on from it.

They belong to another project whose workers consume the same queue, or to a handler module that
this worker did not import. Headers, properties and bodies are kept, except the broker's time to
live, so that a kept message does not expire. Celery's own `expires` is a header.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from celery import current_app
from django.conf import settings
from kombu.connection import Connection
from kombu.messaging import Producer

from handlers.messages.checks import task_of
from handlers.outbox import broker

#: The AMQP properties that a message keeps. Redis delivers any property that a sender wrote, and a
#: broker refuses another user's user_id.
_KEPT = (
    *("delivery_mode", "priority", "correlation_id", "reply_to"),
    *("message_id", "timestamp", "type", "app_id"),
)


class Sender:
    """Sends messages to a queue over its own connection, which opens with the first message."""

    def __init__(self) -> None:
        self._connection: Connection | None = None

    def send(self, message: Any, queue: str) -> None:
        """Return once the broker has the message. Raises what the broker's library raises."""
        try:
            _send(self._connected(), message, queue)
        except Exception:
            self.close()
            raise

    def _connected(self) -> Connection:
        if self._connection is None:
            # Makes RabbitMQ confirm each message.
            options = {**current_app.conf.broker_transport_options, "confirm_publish": True}
            self._connection = current_app.connection_for_write(transport_options=options)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.release()  # type: ignore[no-untyped-call]
        self._connection = None


def _send(connection: Connection, message: Any, queue: str) -> None:
    broker.ensure_queue(current_app, connection, queue)
    headers = dict(message.headers)
    producer: Any = Producer(connection.default_channel, auto_declare=False)  # type: ignore[no-untyped-call]
    producer.publish(
        message.body,
        exchange="",
        routing_key=queue,
        content_type=message.content_type or "application/octet-stream",
        content_encoding=message.content_encoding,
        compression=headers.pop("compression", None),
        headers=headers,
        **{name: message.properties[name] for name in _KEPT if name in message.properties},
    )


def came_from(message: Any) -> str:
    """Return the queue that a message was read from, which is its routing key."""
    info = getattr(message, "delivery_info", None)
    return str(info.get("routing_key", "")) if isinstance(info, dict) else ""


def send_on(to: str, task: str | None = None) -> Counter[str]:
    """Move kept messages of one task, or of all tasks, to the queue `to`; count them by task.

    Raises the exceptions of the broker's library; messages that were not sent stay kept.
    """
    sender = Sender()
    sent: Counter[str] = Counter()

    def move(message: Any, name: str) -> bool:
        if task is not None and name != task:
            return False
        sender.send(message, to)
        sent[name] += 1
        return True

    try:
        _look_through(move)
    finally:
        sender.close()
    return sent


def kept() -> Counter[str]:
    """Count the kept messages by task. Reads and requeues all of them."""
    counts: Counter[str] = Counter()

    def count(_: Any, name: str) -> bool:
        counts[name] += 1
        return False

    _look_through(count)
    return counts


def _look_through(is_done: Callable[[Any, str], bool]) -> None:
    """Call `is_done` for each kept message; remove it if the result is true, else requeue it."""
    with current_app.connection_for_read() as connection:
        channel = connection.default_channel
        queue = current_app.amqp.queues.new_missing(settings.CDC_UNKNOWN_QUEUE)(channel)
        count = queue.queue_declare().message_count
        staying = []
        try:
            for _ in range(count):
                message = queue.get()
                if message is None:
                    break
                staying.append(message)
                if is_done(message, task_of(message) or "(no task)"):
                    message.ack()
                    staying.pop()
        finally:
            for message in staying:
                message.requeue()
