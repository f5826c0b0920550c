"""Differences between brokers: their failures, channels and queue declarations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu.exceptions import BatchPublishError, LimitExceeded, OperationalError
from kombu.transport import virtual

_FAILURES = (OperationalError, BatchPublishError, LimitExceeded)


def failures(app: Celery) -> tuple[type[Exception], ...]:
    """Return the exceptions of a broker that takes no messages.

    Call it only after an exception, because it costs more than publishing a message.
    """
    with app.connection_for_write() as unused:
        return (*unused.connection_errors, *unused.channel_errors, *_FAILURES)


@contextmanager
def channel(broker: Any) -> Iterator[Any]:
    """Yield a channel that a failing operation may close.

    A virtual transport's channel does not close on errors, and a second one would open another
    connection, so there the default channel is used.
    """
    if isinstance(broker.transport, virtual.Transport):
        yield broker.default_channel
        return
    broker.connect()  # a failed connection returns to the pool closed and opens no channel
    real = broker.channel()
    try:
        yield real
    finally:
        real.close()


def ensure_queue(app: Celery, broker: Any, name: str) -> None:
    """Declare a queue that may belong to another project, unless it exists.

    Its arguments, such as a quorum queue's, are its owner's, and RabbitMQ refuses different ones.
    """
    if not isinstance(broker.transport, virtual.Transport):
        try:
            with channel(broker) as real:
                real.queue_declare(name, passive=True)
        except broker.channel_errors:
            pass  # the queue does not exist
        else:
            return
    # `queues[name]` would add the queue to those that a worker consumes.
    app.amqp.queues.new_missing(name)(broker.default_channel).declare()
