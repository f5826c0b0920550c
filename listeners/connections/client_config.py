"""Converts a connection's and a listener's settings to options of `listeners.salesforce`.

Defaults are filled in and references to secrets are resolved. Each function raises
SecretUnavailable for a reference that cannot be resolved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from listeners.egress import destinations
from listeners.models import Connection, Listener
from listeners.salesforce.auth.endpoint import CredentialBearer, OAuthOptions
from listeners.salesforce.http.session import HttpConfig, Proxy, Tls
from listeners.salesforce.protocol import StreamOptions
from listeners.secrets.encrypted_field import REFERENCES, Secret

CONNECTION_TIMEOUT, READ_TIMEOUT = 10.0, 30.0


def oauth_options(
    connection: Connection, overrides: Mapping[str, Any] | None = None
) -> OAuthOptions:
    """Return the connection's OAuth options, with `overrides` (a refresh_config)."""
    own: dict[str, Any] = {
        "scopes": connection.scopes,
        "optional_params": connection.optional_params,
        "credential_bearer": connection.credential_bearer,
        "client_config": connection.client_config,
        **(overrides or {}),
    }
    client = own["client_config"]
    return OAuthOptions(
        bearer=CredentialBearer(own["credential_bearer"]),
        scopes=tuple(own["scopes"]),
        params=_looked_up(own["optional_params"]),
        headers=_looked_up(client.get("custom_headers", {})),
        payload=_payload(client.get("custom_payload", "")),
        timeout=(
            float(client.get("connection_timeout", CONNECTION_TIMEOUT)),
            float(client.get("read_timeout", READ_TIMEOUT)),
        ),
        instance_url=connection.base_url,
    )


def http_config(connection: Connection, *, http_version: str = "1.1") -> HttpConfig:
    """Return the HTTP settings of all requests of the connection."""
    tls = connection.client_config.get("tls", {})
    return HttpConfig(_proxy(connection), Tls(**tls), http_version, destinations())


def _proxy(connection: Connection) -> Proxy | None:
    if not connection.proxy_host:
        return None
    return Proxy(
        connection.proxy_host,
        int(connection.proxy_port or 0),
        connection.proxy_scheme,
        connection.proxy_username,
        connection.proxy_password.reveal(),
    )


def _payload(text: str) -> str:
    pairs = parse_qsl(text, keep_blank_values=True)  # a name may occur twice
    return urlencode([(name, _resolved(value)) for name, value in pairs])


def _looked_up(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: _resolved(text) for name, text in texts.items()}


def _resolved(text: str) -> str:
    """Return the text, or the value that the reference `env:NAME` or `file:PATH` names."""
    return Secret(text).reveal() if text.startswith(REFERENCES) else text


def stream_options(listener: Listener) -> StreamOptions:
    return StreamOptions(
        api_version=listener.api_version,
        connection_timeout=listener.connection_timeout,
        read_timeout=listener.read_timeout,
        keep_alive_interval=listener.keep_alive_interval,
        session_timeout=listener.session_timeout,
    )
