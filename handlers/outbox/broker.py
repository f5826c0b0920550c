"""What the way to the broker is like, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu.exceptions import BatchPublishError, LimitExceeded, OperationalError
from kombu.transport import virtual

_FAILURES = (OperationalError, BatchPublishError, LimitExceeded)


def failures(app: Celery) -> tuple[type[Exception], ...]:
    """What is raised when it takes no messages. Only asked once something was: it costs more than
    a message."""
    with app.connection_for_write() as unused:
        return (*unused.connection_errors, *unused.channel_errors, *_FAILURES)


@contextmanager
def channel(broker: Any) -> Iterator[Any]:
    """One that may break. Where channels are virtual none breaks, and a second one would be a
    connection of its own."""
    if isinstance(broker.transport, virtual.Transport):
        yield broker.default_channel
        return
    broker.connect()  # one that failed is in its pool again, closed, and opens no channel by itself
    real = broker.channel()
    try:
        yield real
    finally:
        real.close()


def ensure_queue(app: Celery, broker: Any, name: str) -> None:
    """Declare a queue that may be another project's, unless it is there: its arguments, such as a
    quorum queue's, are those of whoever declared it, and RabbitMQ refuses others."""
    if not isinstance(broker.transport, virtual.Transport):
        try:
            with channel(broker) as real:
                real.queue_declare(name, passive=True)
        except broker.channel_errors:
            pass  # it is missing
        else:
            return
    # Not by `queues[name]`: that would add it to the queues that a worker listens to.
    app.amqp.queues.new_missing(name)(broker.default_channel).declare()
