"""From a stored connection to a login on the wire."""

from __future__ import annotations

import structlog

from listeners.models import Connection
from listeners.salesforce.auth.client_credentials import ClientCredentials
from listeners.salesforce.auth.password import Password
from listeners.salesforce.auth.refresh_token import RefreshToken
from listeners.salesforce.tokens import Grant, TokenSource
from listeners.secrets import Secret

log = structlog.get_logger(__name__)


def grant_of(connection: Connection) -> Grant:
    """The grant of the connection's kind, secrets revealed. Raises SecretUnavailable."""
    url = connection.login_url
    client_id, client_secret = connection.client_id, connection.client_secret.reveal()
    match Connection.Auth(connection.auth):
        case Connection.Auth.CLIENT_CREDENTIALS:
            return ClientCredentials(url, client_id, client_secret)
        case Connection.Auth.PASSWORD:
            password = connection.password.reveal()
            return Password(url, client_id, client_secret, connection.username, password)
        case Connection.Auth.REFRESH_TOKEN:
            return RefreshToken(url, client_id, client_secret, connection.refresh_token.reveal())


def token_source(connection: Connection) -> TokenSource:
    """Tokens for a connection; a rotated refresh token is stored before its access token is used.

    Raises SecretUnavailable.
    """
    return TokenSource(
        grant_of(connection), on_refresh_token=lambda token: _keep(connection.pk, token)
    )


def _keep(connection_id: int, refresh_token: str) -> None:
    """The old one is spent: whatever it was, a reference too, the new one takes its place."""
    Connection.objects.filter(pk=connection_id).update(refresh_token=Secret.of(refresh_token))
    log.info("refresh token rotated", connection=connection_id)
