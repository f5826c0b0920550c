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
from listeners.connections.login_attempts import Reporter
from listeners.connections.token_sources import token_source
from listeners.models import Connection, Listener
from listeners.salesforce.errors import SalesforceError
from listeners.salesforce.http.session import session_of
from listeners.salesforce.rest.client import DEFAULT_VERSION
from listeners.salesforce.rest.simple_salesforce import TokenSession, rest_client
from listeners.salesforce.tokens.tokens import Tokens
from listeners.secrets.encrypted_field import SecretUnavailable

Key = tuple[int, int, str, str]  # process, connection, its fingerprint, API version


@dataclass(frozen=True)
class _Client:
    salesforce: Any
    tokens: Tokens


@dataclass
class _Clients(threading.local):
    by_key: dict[Key, _Client] = field(default_factory=dict)
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


def client_for(listener: Listener, report: Reporter) -> Any:
    """Return a `simple_salesforce.Salesforce` for the listener's org and API version.

    The client is cached until the connection changes. Raises SecretUnavailable, ClientFileMissing,
    LoginRefused and LoginUnavailable.
    """
    return _client(listener.connection, listener.api_version, report)


def client_named(name: str, report: Reporter) -> Any:
    """Return a client for the named connection, in the API version of its first listener.

    Raises UnknownConnection and the exceptions of `client_for`.
    """
    connection = Connection.objects.filter(name=name).first()
    if connection is None:
        known = Connection.objects.order_by("name").values_list("name", flat=True)
        raise UnknownConnection(name, list(known))
    versions = connection.listeners.order_by("pk").values_list("api_version", flat=True)
    return _client(connection, versions.first() or DEFAULT_VERSION, report)


def _client(connection: Connection, api_version: str, report: Reporter) -> Any:
    key = _key(connection, api_version)
    _clients.wanted.add(connection.pk)
    if key not in _clients.by_key:
        # Close clients of an older version of the connection, or of the parent process.
        for old in [cached for cached in _clients.by_key if cached[1] == connection.pk]:
            if old[:3] != key[:3]:
                _clients.by_key.pop(old).salesforce.session.close()
        tokens = token_source(connection, api_version, report=report)
        session = TokenSession(tokens)
        session_of(http_config(connection), session)
        salesforce = rest_client(session, tokens, api_version)
        _clients.by_key[key] = _Client(salesforce, tokens)
    return _clients.by_key[key].salesforce


def renew(listener: Listener, report: Reporter) -> None:
    """Prepare this thread's client, with a valid token, if handlers in this thread have used it.

    Login errors are ignored here: the next use of the client raises them.
    """
    if listener.connection_id in _clients.wanted:
        with suppress(SalesforceError, SecretUnavailable):
            client_for(listener, report)
            key = _key(listener.connection, listener.api_version)
            _clients.by_key[key].tokens.get()


def _key(connection: Connection, api_version: str) -> Key:
    """Return the cache key, with the process id: a forked process must not share its parent's
    sockets."""
    return os.getpid(), connection.pk, connection.fingerprint, api_version
