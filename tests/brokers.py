"""The two kinds of broker that the product runs on, for tests that must hold on both."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import amqp
import pytest
from kombu.connection import Connection

from tests.chaos.brokers import RabbitMQ, missing_rabbitmq

QUEUES = ("cdc", "cdc.unknown", "celery", "special", "crm")


@dataclass(frozen=True)
class AnyBroker:
    """A running broker. `url` is Celery's broker URL."""

    kind: str
    url: str

    @property
    def environment(self) -> dict[str, str]:
        """The environment with which a process of the product uses this broker."""
        return {"CDC_TEST_BROKER_URL": self.url}

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        with Connection(self.url, transport_options=self._options()) as connection:
            yield connection

    def _options(self) -> dict[str, str]:
        return {"unacked_key": "tests.unacked"} if self.kind == "valkey" else {}

    def waiting(self, queue: str) -> int:
        """Return the number of messages that wait in a queue, 0 if it does not exist."""
        with self.connection() as connection:
            try:
                found = connection.default_channel.queue_declare(queue, passive=True)
            except connection.channel_errors:
                return 0
            return int(found.message_count)

    def send_raw(self, queue: str, body: bytes | str, **properties: object) -> None:
        """Publish a message with exactly these headers and properties directly to a queue."""
        with self.connection() as connection:
            queue_object = connection.SimpleQueue(queue).queue
            queue_object.declare()
            connection.Producer().publish(body, exchange="", routing_key=queue, **properties)


def empty(url: str, queues: Sequence[str] = QUEUES) -> None:
    """Delete the given queues of a RabbitMQ server."""
    address = url.partition("@")[2].rstrip("/")
    for queue in queues:
        with suppress(amqp.NotFound), amqp.Connection(address) as connection:
            connection.channel().queue_delete(queue)


def start_rabbitmq() -> RabbitMQ:
    if missing := missing_rabbitmq():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    folder = Path(tempfile.mkdtemp(prefix="rabbitmq-", dir=os.environ["CDC_TEST_FOLDER"]))
    server = RabbitMQ(folder)
    server.start()
    return server


@contextmanager
def using(url: str) -> Iterator[None]:
    """Let this process's Celery application use the broker at `url` within the block."""
    from celery import current_app

    names = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")
    app = current_app._get_current_object()
    with pytest.MonkeyPatch.context() as patch:
        for name in names:  # Celery takes them before its settings
            patch.setenv(name, url)
        for name in ("broker_read_url", "broker_write_url", "broker_url"):
            patch.setitem(app.conf, name, url)
        options = app.conf.broker_transport_options if url.startswith("redis") else {}
        patch.setitem(app.conf, "broker_transport_options", options)
        # Both keep connections to where they were made for.
        patch.setitem(vars(app), "amqp", type(app.amqp)(app))
        patch.setattr(app, "_pool", None)
        yield
