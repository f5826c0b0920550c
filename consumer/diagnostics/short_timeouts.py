"""Copies of a connection and a listener with short timeouts, for checks that a web page waits for.
Timeouts are not part of the credentials; the copies are never saved."""

from __future__ import annotations

import copy

from listeners.connections.client_config import CONNECTION_TIMEOUT, READ_TIMEOUT
from listeners.models import Connection, Listener

LONGEST_WAIT = 15.0  # seconds
REST_TIMEOUT = (5.0, LONGEST_WAIT)


def with_short_timeouts(connection: Connection) -> Connection:
    shorter = copy.copy(connection)
    if connection.auth == Connection.Auth.BEARER_TOKEN:  # it has no login request
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
    """Return a copy of the listener that uses this connection."""
    shorter = copy.copy(listener)
    shorter.connection = connection
    for name in ("connection_timeout", "read_timeout"):
        setattr(shorter, name, min(LONGEST_WAIT, getattr(listener, name)))
    return shorter
