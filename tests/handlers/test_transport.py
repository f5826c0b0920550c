"""A failed connection is replaced on transports with real channels, such as RabbitMQ's."""

from contextlib import suppress

import pytest
from kombu.connection import Connection
from kombu.transport import base

from handlers import broker as outbox_broker


class Wire:
    """A connection of the transport's library."""

    is_open = True

    def channel(self):
        return Channel(self)


class Channel:
    def __init__(self, wire):
        self.wire = wire
        self.is_open = wire.is_open

    def close(self):
        self.is_open = False


class Transport(base.Transport):
    def establish_connection(self):
        return Wire()

    def create_channel(self, connection):
        return connection.channel()

    def verify_connection(self, connection):
        return connection.is_open

    def close_connection(self, connection):
        connection.is_open = False


@pytest.fixture
def pool():
    with Connection(transport=Transport) as broker:
        yield broker.Pool(1)


def test_a_failed_connection_is_replaced(pool):
    with (
        suppress(ConnectionError),
        pool.acquire() as broker,
        outbox_broker.channel(broker) as before,
    ):
        raise ConnectionError

    with pool.acquire() as broker, outbox_broker.channel(broker) as channel:
        assert channel.is_open
        assert channel.wire is not before.wire
    assert not channel.is_open
