"""Messages of unknown tasks: kept in a queue of their own, and sent on from it.

They are another project's, whose workers listen to the same queue, or of a handler that this worker
was started without. They keep their headers, properties and bodies, and no time to live of the
broker's: one that is kept does not vanish. Celery's own `expires` is a header.
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

#: The properties of AMQP that a message keeps. Redis hands out whatever its sender wrote, and a
#: broker refuses the user_id of somebody else.
_KEPT = (
    *("delivery_mode", "priority", "correlation_id", "reply_to"),
    *("message_id", "timestamp", "type", "app_id"),
)


class Sender:
    """Sends messages on over a connection of its own, which is made with the first of them."""

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
            # RabbitMQ answers each message then.
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
    """The queue that a message was read from: messages are published to queues by their names."""
    info = getattr(message, "delivery_info", None)
    return str(info.get("routing_key", "")) if isinstance(info, dict) else ""


def send_on(to: str, task: str | None = None) -> Counter[str]:
    """Send the messages that are kept on to the queue `to`, of one task or of all; how many of each
    task. Those of others stay. Raises what the broker's library raises: what was not sent stays.
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
    """How many messages of each task are kept. Reads them all; each stays."""
    found: Counter[str] = Counter()

    def count(_: Any, name: str) -> bool:
        found[name] += 1
        return False

    _look_through(count)
    return found


def _look_through(is_done: Callable[[Any, str], bool]) -> None:
    """Ask for each message that is there now whether it can go; give back the others."""
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
