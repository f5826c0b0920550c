"""REST clients for handlers: one for each thread and connection, with the connection's token.

UnknownConnection   no connection has that name: correct the name, or configure the connection
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from listeners.connections.client_config import http_config
from listeners.connections.token_sources import token_source
from listeners.models import Connection, Listener
from listeners.salesforce.errors import SalesforceError
from listeners.salesforce.http.session import session_of
from listeners.salesforce.rest.client import DEFAULT_VERSION
from listeners.salesforce.rest.simple_salesforce import TokenSession, rest_client
from listeners.salesforce.tokens.tokens import Tokens
from listeners.secrets.encrypted_field import SecretUnavailable

Key = tuple[int, int, str, str]  # process, connection, its fingerprint, API version


@dataclass
class _Clients(threading.local):
    by_key: dict[Key, tuple[Any, Tokens]] = field(default_factory=dict)
    #: Ids of the connections that handlers in this thread have used.
    wanted: set[int] = field(default_factory=set)


_clients = _Clients()


class UnknownConnection(LookupError):
    """No connection has that name. Correct the name, or configure the connection."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        remedy = (
            f"Use one of these names: {', '.join(known)}."
            if known
            else "No connection is configured yet: add one in the console or with apply_cdc_config."
        )
        super().__init__(f"There is no Salesforce connection named {name!r}. {remedy}")


def client_for(listener: Listener) -> Any:
    """Return a `simple_salesforce.Salesforce` for the listener's org and API version.

    The client is cached until the connection changes. Raises SecretUnavailable, ClientFileMissing,
    LoginRefused and LoginUnavailable.
    """
    client, _ = _client(listener.connection, listener.api_version)
    return client


def client_named(name: str) -> Any:
    """Return a client for the named connection, in the API version of its first listener.

    Raises UnknownConnection and the exceptions of `client_for`.
    """
    connection = Connection.objects.filter(name=name).first()
    if connection is None:
        known = Connection.objects.order_by("name").values_list("name", flat=True)
        raise UnknownConnection(name, list(known))
    versions = connection.listeners.order_by("pk").values_list("api_version", flat=True)
    client, _ = _client(connection, versions.first() or DEFAULT_VERSION)
    return client


def _client(connection: Connection, api_version: str) -> tuple[Any, Tokens]:
    """Return this thread's client and its tokens."""
    # The process id, because a forked process must not share its parent's sockets.
    key = os.getpid(), connection.pk, connection.fingerprint, api_version
    _clients.wanted.add(connection.pk)
    if key not in _clients.by_key:
        # Close clients of an older version of the connection, or of the parent process.
        for old in [cached for cached in _clients.by_key if cached[1] == connection.pk]:
            if old[:3] != key[:3]:
                client, _ = _clients.by_key.pop(old)
                client.session.close()
        tokens = token_source(connection, api_version)
        session = TokenSession(tokens)
        session_of(http_config(connection), session)
        _clients.by_key[key] = rest_client(session, tokens, api_version), tokens
    return _clients.by_key[key]


def renew(listener: Listener) -> None:
    """Prepare this thread's client, with a valid token, if handlers in this thread have used it.

    Login errors are ignored here: the next use of the client raises them.
    """
    if listener.connection_id in _clients.wanted:
        with suppress(SalesforceError, SecretUnavailable):
            _, tokens = _client(listener.connection, listener.api_version)
            tokens.get()
