"""A connection and a listener for somebody who waits at a web page: with shorter time-outs, which
are no part of the credentials. Never saved."""

from __future__ import annotations

import copy

from listeners.connections.client_config import CONNECTION_TIMEOUT, READ_TIMEOUT
from listeners.models import Connection, Listener

LONGEST_WAIT = 15.0  # seconds
REST_TIMEOUT = (5.0, LONGEST_WAIT)


def with_short_timeouts(connection: Connection) -> Connection:
    shorter = copy.copy(connection)
    if connection.auth == Connection.Auth.BEARER_TOKEN:  # there is no login to wait for
        return shorter
    config = connection.client_config
    shorter.client_config = config | {
        name: min(LONGEST_WAIT, float(config.get(name, default)))
        for name, default in (
            ("connection_timeout", CONNECTION_TIMEOUT),
            ("read_timeout", READ_TIMEOUT),
        )
    }
    return shorter


def listener_with_short_timeouts(listener: Listener, connection: Connection) -> Listener:
    """Heard through that connection."""
    shorter = copy.copy(listener)
    shorter.connection = connection
    for name in ("connection_timeout", "read_timeout"):
        setattr(shorter, name, min(LONGEST_WAIT, getattr(listener, name)))
    return shorter
