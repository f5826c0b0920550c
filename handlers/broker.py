"""Access to the broker: errors, channels, queues, and the messages that start background jobs.

BrokerUnavailable   the broker takes no messages; check the broker and CELERY_BROKER_URL
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from amqp.exceptions import NotFound
from celery import Celery, current_app
from kombu.exceptions import BatchPublishError, LimitExceeded, OperationalError
from kombu.transport import virtual

log = structlog.get_logger(__name__)

_FAILURES = (OperationalError, BatchPublishError, LimitExceeded)


class BrokerUnavailable(Exception):
    """The broker does not answer. Deliveries stay ready; check the broker and CELERY_BROKER_URL."""


def failures(app: Celery) -> tuple[type[Exception], ...]:
    """Return the exceptions of a broker that takes no messages.

    Call it only after an exception, because it costs more than publishing a message.
    """
    with app.connection_for_write() as unused:
        return failures_of(unused)


def failures_of(connection: Any) -> tuple[type[Exception], ...]:
    return (*connection.connection_errors, *connection.channel_errors, *_FAILURES)


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


@contextmanager
def errors(app: Celery) -> Iterator[None]:
    """Raise BrokerUnavailable for the broker's errors.

    A failed batch may have arrived in part; a second copy of a message is harmless.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, failures(app)):
            raise
        reason = str(error) or type(error).__name__
        raise BrokerUnavailable(f"The broker does not accept messages: {reason}") from error


def has_queue(broker: Any, name: str) -> bool:
    """Return whether a queue exists. On Redis sending to it makes it, so there the connection alone
    is checked."""
    if isinstance(broker.transport, virtual.Transport):
        ping(broker.default_channel)
        return True
    try:
        with channel(broker) as real:
            real.queue_declare(name, passive=True)
    except NotFound:
        return False
    return True


def ping(channel: Any) -> None:
    """Raise the error of a connection to Redis that is broken."""
    if client := getattr(channel, "client", None):
        client.ping()


def queue_length(queue: str) -> int | None:
    """Return the number of messages in a queue, 0 if it does not exist, None if unknown.

    Raises BrokerUnavailable.
    """
    app: Celery = current_app._get_current_object()
    with errors(app), app.pool.acquire(block=True, timeout=10) as broker:
        try:
            with channel(broker) as opened:
                declared = opened.queue_declare(queue, passive=True)
        except broker.channel_errors:
            return 0
        return getattr(declared, "message_count", None)


def start(task: str, **kwargs: int | str) -> None:
    """Send a task of ours to the workers. Raises BrokerUnavailable."""
    app: Celery = current_app._get_current_object()
    with errors(app), app.producer_pool.acquire(block=True, timeout=10) as producer:
        app.send_task(task, kwargs=kwargs, producer=producer, retry=False, ignore_result=True)


def start_or_leave(task: str, **kwargs: int | str) -> bool:
    """Send a task of ours to the workers; return False if the broker is unavailable.

    Then the task is sent when its job is due again.
    """
    try:
        start(task, **kwargs)
    except BrokerUnavailable as error:
        log.warning(
            "broker unavailable: the job will start later", task=task, **kwargs, reason=str(error)
        )
        return False
    return True
