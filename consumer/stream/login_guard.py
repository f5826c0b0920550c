"""Limits login attempts: Salesforce locks users out after a few wrong passwords.

LoginGivenUp   Salesforce refused the login a few times; correct the connection to restart
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog
from django.conf import settings

from consumer.stream import metrics
from listeners.connections.token_sources import token_source
from listeners.models import Connection, Listener
from listeners.models.connection_rules import SOAP_RETIRES
from listeners.salesforce.auth.soap import login_version
from listeners.salesforce.errors import LoginRefused, LoginUnavailable
from listeners.salesforce.tokens.source import TokenSource
from listeners.salesforce.tokens.tokens import Token, Tokens

log = structlog.get_logger(__name__)


class LoginGivenUp(Exception):
    """Salesforce refused the login a few times. Correcting the connection restarts the listener."""


class GuardedTokens:
    """A connection's tokens, shared by all listeners of this process that use the connection.

    A refused login is retried after each of settings.CDC_LOGIN_WAITS (seconds); after the last, no
    listener logs in again until the connection changes.
    """

    def __init__(self, inner: Tokens, pause: Callable[[float], bool], connection: str) -> None:
        """`pause` waits for so many seconds, and returns whether the process is stopping;
        `connection` is the connection's name, a label of metrics."""
        self._inner = inner
        self._connection = connection
        self._last: Token | None = None
        self._pause = pause
        self._trying = threading.Lock()
        self._given_up: LoginGivenUp | None = None

    def get(self) -> Token:
        """Return a token. Raises LoginGivenUp, and LoginUnavailable when Salesforce does not
        answer."""
        with self._trying:
            if self._given_up is None:
                return self._get()
            raise self._given_up

    def invalidate(self, token: Token) -> None:
        self._inner.invalidate(token)

    def settle(self, seconds: float) -> None:
        if isinstance(self._inner, TokenSource):
            self._inner.settle(seconds)

    @property
    def has_given_up(self) -> bool:
        return self._given_up is not None

    def _get(self) -> Token:
        waits = iter(settings.CDC_LOGIN_WAITS)
        while True:
            try:
                return self._ask()
            except LoginRefused as refused:
                wait = next(waits, None)
                if refused.is_final or wait is None:
                    self._given_up = LoginGivenUp(str(refused))
                    raise self._given_up from None
                log.warning("login refused; will retry", reason=str(refused), next_try_in=wait)
            if self._pause(wait):
                raise LoginUnavailable("the process is stopping")

    def _ask(self) -> Token:
        try:
            token = self._inner.get()
        except (LoginRefused, LoginUnavailable) as error:
            self._count("refused" if isinstance(error, LoginRefused) else "unavailable")
            raise
        if token != self._last:
            self._count("new")
            self._last = token
        return token

    def _count(self, outcome: str) -> None:
        metrics.TOKENS.labels(self._connection, outcome).inc()


class Logins:
    """The token sources of this process, one for each connection, replaced when an operator changes
    the connection."""

    def __init__(self, pause: Callable[[float], bool]) -> None:
        self._pause = pause
        self._sources: dict[tuple[int, str, str], GuardedTokens] = {}

    def of(self, listener: Listener) -> GuardedTokens:
        """Return the tokens for a listener. Raises SecretUnavailable and ClientFileMissing."""
        connection = listener.connection
        key = (connection.pk, connection.fingerprint, _version(listener))
        if key not in self._sources or self._sources[key].has_given_up:
            self._sources = {
                k: v for k, v in self._sources.items() if k[:2] == key[:2] or k[0] != connection.pk
            }
            if connection.auth == Connection.Auth.SOAP:
                log.warning("SOAP login retires", connection=connection.name, reason=SOAP_RETIRES)
            tokens = token_source(connection, listener.api_version)
            self._sources[key] = GuardedTokens(tokens, self._pause, connection.name)
        return self._sources[key]

    def settle(self, seconds: float) -> None:
        """Wait for running logins, so that their tokens are stored."""
        deadline = time.monotonic() + seconds
        for source in self._sources.values():
            source.settle(max(0.0, deadline - time.monotonic()))


def _version(listener: Listener) -> str:
    """Return the API version of the login. Only SOAP logins have one; listeners with different API
    versions share any other login."""
    if listener.connection.auth != Connection.Auth.SOAP:
        return ""
    return login_version(listener.api_version)
