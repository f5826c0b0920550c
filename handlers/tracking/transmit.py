"""Sends the messages of external tasks, and tells which of them arrived.

An external task cannot recognise a second copy of its message, so only a message that certainly
did not arrive may be sent again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import time_ns
from typing import Any

from celery import Celery
from kombu.messaging import Producer
from kombu.transport import virtual

from handlers import broker, tracing
from handlers.broker import BrokerUnavailable
from handlers.outbox import metrics, publish
from handlers.types import Message

#: Seconds to wait for RabbitMQ's next confirmation.
CONFIRM_SECONDS = 10.0
#: Bytes of arguments in one write to Redis, of which redis-py holds several copies.
MOST_BYTES = 4_000_000


@dataclass(slots=True)
class Sent:
    """The results of sending messages. The broker has no other ones.

    arrived    the broker has them
    uncertain  the connection broke while they were sent: the broker may have them
    refused    their queue, which may be full, did not take them
    invalid    messages that cannot be written, with the reasons
    failure    the error that ended the sending, if any
    """

    arrived: list[Message] = field(default_factory=list)
    uncertain: list[Message] = field(default_factory=list)
    refused: list[Message] = field(default_factory=list)
    invalid: list[tuple[Message, Exception]] = field(default_factory=list)
    failure: Exception | None = None


def transmit(app: Celery, messages: Sequence[Message], sent: Sent) -> None:
    """Send messages to existing queues, and add them to `sent`. Errors are left there too."""
    if not messages:
        return
    began = time_ns()
    try:
        with (
            app.pool.acquire(block=True, timeout=10) as connection,
            _closed_after_a_failure(connection),
        ):
            if isinstance(connection.transport, virtual.Transport):
                for part in _parts(messages):
                    _send_pipelined(app, connection.default_channel, part, sent)
            else:
                _send_confirmed(app, connection, messages, sent)
    except Exception as error:  # noqa: BLE001 (the caller raises it)
        sent.failure = error
    metrics.published(sent.arrived)
    if tracing.spans is not None:
        tracing.spans.sent(sent.arrived, began)


@contextmanager
def _closed_after_a_failure(connection: Any) -> Iterator[None]:
    """Close a connection that failed: answers to what was sent before may still arrive on it."""
    try:
        yield
    except BaseException:
        connection.collect()
        raise


def _send_confirmed(app: Celery, connection: Any, messages: Sequence[Message], sent: Sent) -> None:
    """Send through RabbitMQ, which confirms each message once its queue has it."""
    connection.connect()
    channel = connection.channel()
    channel.confirm_select()
    unconfirmed: dict[int, Message] = {}

    def end(place: list[Message], tag: int, is_multiple: bool) -> None:
        tags = [known for known in unconfirmed if known <= tag] if is_multiple else [tag]
        place.extend(unconfirmed.pop(known) for known in tags if known in unconfirmed)

    channel.events["basic_ack"].add(partial(end, sent.arrived))
    channel.events["basic_nack"].add(partial(end, sent.refused))
    try:
        written = _written(app, _producer(channel), messages, sent)
        for number, message in enumerate(written, 1):
            unconfirmed |= {number: message}
        while unconfirmed:
            connection.drain_events(timeout=CONFIRM_SECONDS)
    finally:
        sent.uncertain += unconfirmed.values()
    channel.close()


def _send_pipelined(app: Celery, channel: Any, messages: Sequence[Message], sent: Sent) -> None:
    """Send through Redis, which answers for each message of a batch."""
    producer = _producer(channel)
    buffered: list[Message] = []
    with producer.batch(max_size=len(messages) + 1) as batch:
        for message in _written(app, producer, messages, sent):
            # A transport without batches has sent it.
            (buffered if batch.state.session else sent.arrived).append(message)
        if not buffered:
            return
        broker.ping(channel)  # so that a connection that is broken already costs nothing
        others = sent.uncertain
        sent.uncertain = [*others, *buffered]
        answers = batch.state.session.pipeline.execute(raise_on_error=False)
    answered = list(zip(buffered, answers, strict=True))
    sent.uncertain = others
    sent.arrived += [message for message, answer in answered if isinstance(answer, int)]
    for answer in answers:
        if isinstance(answer, Exception):
            raise BrokerUnavailable(f"The broker refused messages: {answer}")


def _parts(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Yield messages in parts of at most MOST_BYTES, or of one message."""
    part: list[Message] = []
    size = 0
    for message in messages:
        if part and size + message.size > MOST_BYTES:
            yield part
            part, size = [], 0
        part.append(message)
        size += message.size
    yield part


def _written(
    app: Celery, producer: Any, messages: Sequence[Message], sent: Sent
) -> Iterator[Message]:
    """Write messages, and yield each one that was written."""
    for message in messages:
        try:
            publish.write(app, producer, message)
        except Exception as error:
            if isinstance(error, (OSError, *broker.failures(app))):
                sent.uncertain.append(message)
                raise
            sent.invalid.append((message, error))
        else:
            yield message


def _producer(channel: Any) -> Any:
    return Producer(channel)  # type: ignore[no-untyped-call]
