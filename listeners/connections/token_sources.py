"""Creates grants and token sources from stored connections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests
from django.utils.crypto import salted_hmac

from listeners.connections.client_config import http_config, oauth_options
from listeners.connections.login_attempts import LoginLedger
from listeners.models import Connection, SpentToken
from listeners.models.client_config_rules import http_version
from listeners.models.connection_fields import TOKEN_PATH
from listeners.models.connection_rules import KINDS
from listeners.salesforce.auth.bearer_token import BearerToken
from listeners.salesforce.auth.oauth import ClientCredentials, JwtBearer, Password, RefreshToken
from listeners.salesforce.auth.soap import LAST_SOAP_VERSION, Soap
from listeners.salesforce.http.session import session_of
from listeners.salesforce.tokens.login import Lifetime
from listeners.salesforce.tokens.source import TokenSource
from listeners.salesforce.tokens.store import Ledger, MemoryLedger, TokenStore, digest
from listeners.salesforce.tokens.tokens import Grant, Tokens
from listeners.secrets.encrypted_field import Secret
from listeners.secrets.private_keys import pem_of
from listeners.token_stores import ProcessStore, former_stores, store_of
from listeners.token_stores.database import answered

Auth = Connection.Auth


def grant_of(connection: Connection, api_version: str = LAST_SOAP_VERSION) -> Grant:
    """Return the grant for the connection's kind of login, with its secrets revealed.

    The SOAP login uses `api_version`, or the last version that supports SOAP if that is lower.
    Raises SecretUnavailable.
    """
    options = oauth_options(connection)
    token_url = connection.token_url or connection.base_url + TOKEN_PATH
    client_id_and_secret = connection.client_id, _revealed(connection, "client_secret")
    match Auth(connection.auth):
        case Auth.SOAP:
            return Soap(
                connection.login_url or connection.default_login_url,
                connection.username,
                connection.password.reveal(),
                api_version=api_version,
                timeout=options.timeout,
                headers=options.headers,
            )
        case Auth.PASSWORD:
            password = connection.password.reveal()
            refresh = _refresh_of(connection, token_url, client_id_and_secret)
            return Password(
                token_url,
                *client_id_and_secret,
                connection.username,
                password,
                refresh,
                options=options,
            )
        case Auth.REFRESH_TOKEN:
            refresh_url = connection.refresh_url or connection.base_url + TOKEN_PATH
            token = connection.refresh_token.reveal()
            return RefreshToken(refresh_url, *client_id_and_secret, token, options=options)
        case Auth.CLIENT_CREDENTIALS:
            return ClientCredentials(token_url, *client_id_and_secret, options=options)
        case Auth.JWT_BEARER:
            return JwtBearer(
                token_url,
                *client_id_and_secret,
                connection.username,
                pem_of(connection.private_key.reveal()),
                connection.audience or connection.default_login_url,
                options=options,
            )
        case Auth.BEARER_TOKEN:
            raise ValueError("a connection with a bearer token has no grant")


def _refresh_of(
    connection: Connection, token_url: str, client_id_and_secret: tuple[str, str]
) -> RefreshToken | None:
    """Return the grant that uses a password login's refresh token; None without refresh_config.

    Settings that refresh_config leaves out are those of the login.
    """
    config = connection.refresh_config
    if config is None:
        return None
    options = oauth_options(connection, config)
    url = config.get("refresh_url") or token_url
    http = _login_session(connection, config.get("client_config"))
    return RefreshToken(url, *client_id_and_secret, "", http, options=options)


def token_source(
    connection: Connection,
    api_version: str = LAST_SOAP_VERSION,
    *,
    must_log_in: bool = False,
    isolated: tuple[TokenStore, Ledger] | None = None,
) -> Tokens:
    """Return the tokens of a connection, shared with every process that uses the same store.

    `must_log_in`: an operator requested a new login, regardless of earlier refusals and of a stored
    token. `isolated`: a store and ledger to use instead of those that the connection's processes
    share. Raises SecretUnavailable and ClientFileMissing.
    """
    if connection.auth == Auth.BEARER_TOKEN:
        return BearerToken(connection.token.reveal(), connection.base_url)
    store, ledger = isolated or (
        store_of(connection),
        LoginLedger(connection, must_log_in=must_log_in),
    )
    return TokenSource(
        grant_of(connection, api_version),
        seed=credentials_digest(connection),
        store=store,
        former_stores=() if isolated else former_stores(connection),
        ledger=ledger,
        lifetime=_lifetime(connection),
        http=_login_session(connection),
        must_log_in=must_log_in,
    )


def _lifetime(connection: Connection) -> Lifetime:
    if connection.auth == Auth.SOAP:  # the login's answer contains the lifetime
        return Lifetime()
    return Lifetime(connection.default_token_exp_time, connection.clock_skew)


def session_for(connection: Connection) -> requests.Session:
    """Return an HTTP session with the connection's settings.

    Raises SecretUnavailable and ClientFileMissing.
    """
    return session_of(http_config(connection))


def _login_session(
    connection: Connection, overrides: Mapping[str, Any] | None = None
) -> requests.Session:
    config = connection.client_config if overrides is None else overrides
    version = http_version(config.get("http_version", "1.1"))
    return session_of(http_config(connection, http_version=version))


def _revealed(connection: Connection, name: str) -> str:
    """Return a secret; empty if this kind of login does not use it.

    A reference left over from another kind of login may no longer exist.
    """
    secret: Secret = getattr(connection, name)
    return secret.reveal() if name in KINDS[connection.auth].used_fields else ""


def credentials_digest(connection: Connection) -> str:
    """Return a digest of the credentials, from which no secret can be guessed.

    For a configured refresh token, the digest covers the token alone, so that its stored successors
    stay valid when other settings change.
    """
    if connection.auth == Auth.REFRESH_TOKEN:
        # No HMAC: the token is long and random, and a new SECRET_KEY must not hide its successors.
        return digest(connection.refresh_token.reveal())
    parts = [  # add each new credential field here
        connection.auth,
        connection.base_url,
        connection.token_url,
        connection.login_url,
        str(connection.is_sandbox),
        connection.client_id,
        connection.username,
        connection.audience,
        repr(connection.scopes),
        repr(connection.optional_params),
        repr(connection.client_config.get("custom_payload")),
        repr(connection.refresh_config),
        *(_revealed(connection, name) for name in ("client_secret", "password", "private_key")),
    ]
    return salted_hmac("listeners.logins", "\0".join(parts), algorithm="sha256").hexdigest()


class TrialLedger(MemoryLedger):
    """A ledger that stores nothing, but knows the spent refresh tokens of all connections."""

    def is_spent(self, refresh_token: str) -> bool:
        mark = digest(refresh_token)
        return super().is_spent(refresh_token) or answered(
            SpentToken.objects.filter(digest=mark).exists
        )


class TrialLogin:
    """A login with an unsaved connection, whose tokens are kept in this object only."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._store = ProcessStore()

    def tokens(self, api_version: str) -> Tokens:
        """Return the connection's tokens. Raises SecretUnavailable and ClientFileMissing."""
        return token_source(self._connection, api_version, isolated=(self._store, TrialLedger()))

    def successor(self) -> str:
        """Return the refresh token that replaced the connection's; empty if it was not replaced."""
        if self._connection.auth != Connection.Auth.REFRESH_TOKEN:
            return ""
        kept = self._store.load(credentials_digest(self._connection)).refresh_token
        return "" if kept == self._connection.refresh_token.reveal() else kept
