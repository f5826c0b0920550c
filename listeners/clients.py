"""REST clients for handlers: one a thread and connection, on the connection's shared token."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import Any

from listeners.client_settings import http_config
from listeners.login_ledger import Reporter
from listeners.logins import token_source
from listeners.models import Listener
from listeners.salesforce.client import TokenSession, rest_client
from listeners.salesforce.http import session_of

Key = tuple[int, int, str, str]


@dataclass
class _Clients(threading.local):
    by_key: dict[Key, Any] = field(default_factory=dict)


_clients = _Clients()


def client_for(listener: Listener, report: Reporter) -> Any:
    """A `simple_salesforce.Salesforce` for the listener's org and API version.

    Kept until the connection changes. Raises SecretUnavailable, ClientFileMissing, LoginRefused
    and LoginUnavailable.
    """
    connection = listener.connection
    # Never one of the process that this one was forked from: they would share its sockets.
    key = (os.getpid(), connection.pk, connection.updated_at.isoformat(), listener.api_version)
    if key not in _clients.by_key:
        for old in [one for one in _clients.by_key if one[1] == connection.pk and one != key]:
            del _clients.by_key[old]
        tokens = token_source(connection, listener.api_version, report=report)
        session = TokenSession(tokens)
        session_of(http_config(connection), session)
        _clients.by_key[key] = rest_client(session, tokens, listener.api_version)
    return _clients.by_key[key]
