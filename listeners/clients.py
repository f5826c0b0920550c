"""REST clients for handlers: one a thread and connection, on the connection's shared token."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from listeners.client_settings import http_config
from listeners.login_ledger import Reporter
from listeners.logins import token_source
from listeners.models import Listener
from listeners.salesforce.client import TokenSession, rest_client
from listeners.salesforce.errors import SalesforceError
from listeners.salesforce.http import session_of
from listeners.salesforce.tokens import Tokens
from listeners.secrets import SecretUnavailable

Key = tuple[int, int, str, str]  # process, connection, its fingerprint, API version


@dataclass(frozen=True)
class _Client:
    salesforce: Any
    tokens: Tokens


@dataclass
class _Clients(threading.local):
    by_key: dict[Key, _Client] = field(default_factory=dict)
    #: Connections that handlers here have called back.
    wanted: set[int] = field(default_factory=set)


_clients = _Clients()


def client_for(listener: Listener, report: Reporter) -> Any:
    """A `simple_salesforce.Salesforce` for the listener's org and API version.

    Kept until the connection changes. Raises SecretUnavailable, ClientFileMissing, LoginRefused
    and LoginUnavailable.
    """
    connection = listener.connection
    key = _key(listener)
    _clients.wanted.add(connection.pk)
    if key not in _clients.by_key:
        # Of the same connection as it was before, or of another process.
        for old in [one for one in _clients.by_key if one[1] == connection.pk]:
            if old[:3] != key[:3]:
                _clients.by_key.pop(old).salesforce.session.close()
        tokens = token_source(connection, listener.api_version, report=report)
        session = TokenSession(tokens)
        session_of(http_config(connection), session)
        salesforce = rest_client(session, tokens, listener.api_version)
        _clients.by_key[key] = _Client(salesforce, tokens)
    return _clients.by_key[key].salesforce


def renew(listener: Listener, report: Reporter) -> None:
    """Make this thread's client ready, with a token that is good, if handlers here have wanted it
    before. What is wrong with the login shows when it is needed."""
    if listener.connection_id in _clients.wanted:
        with suppress(SalesforceError, SecretUnavailable):
            client_for(listener, report)
            _clients.by_key[_key(listener)].tokens.get()


def _key(listener: Listener) -> Key:
    """Never a client of the process that this one was forked from: they would share sockets."""
    connection = listener.connection
    return os.getpid(), connection.pk, connection.fingerprint, listener.api_version
