"""Access tokens: fetched once, shared between threads, replaced when Salesforce refuses them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, Self

import requests


@dataclass(frozen=True, slots=True)
class Token:
    """What a login gave. Salesforce names no expiry: a token lives until it is refused."""

    access_token: str = field(repr=False)
    instance_url: str  # scheme and host, no trailing slash
    org_id: str | None = None
    user_id: str | None = None
    issued_at: int | None = None  # milliseconds since the epoch
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Granted:
    """A login's answer: the token, and the refresh token that replaces the one it used up."""

    token: Token
    refresh_token: str | None = field(default=None, repr=False)


class Grant(Protocol):
    """A way to log in; ``listeners.salesforce.auth`` has one slice for each."""

    def login(self, http: requests.Session) -> Granted:
        """One login attempt. Raises ``LoginRefused`` or ``LoginUnavailable``."""

    def rotated(self, refresh_token: str) -> Self:
        """This grant with the refresh token that the next login must use."""


class TokenSource:
    """One connection's current token. Thread-safe: one login at a time, the others wait for it.

    ``on_refresh_token`` is called with each rotated refresh token before the access token that
    came with it is handed out. If it raises, that token is withheld and the next ``get`` calls it
    again, since the old refresh token is spent. How often to log in is the caller's business.
    """

    def __init__(
        self,
        grant: Grant,
        *,
        http: requests.Session | None = None,
        on_refresh_token: Callable[[str], None] | None = None,
    ) -> None:
        self.on_refresh_token = on_refresh_token
        self._grant = grant
        self._http = http or requests.Session()
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._unsaved: Granted | None = None

    def get(self) -> Token:
        """The current token, after a login if there is none.

        Raises ``LoginRefused``, ``LoginUnavailable``, or what ``on_refresh_token`` raised.
        """
        with self._lock:
            if self._token is None:
                self._token = self._log_in()
            return self._token

    def invalidate(self, token: Token) -> None:
        """Forget ``token`` if it is still the current one; a newer one stays."""
        with self._lock:
            if self._token == token:
                self._token = None

    def _log_in(self) -> Token:
        granted = self._unsaved or self._grant.login(self._http)
        if granted.refresh_token is not None:
            self._unsaved = granted
            self._grant = self._grant.rotated(granted.refresh_token)
            if self.on_refresh_token is not None:
                self.on_refresh_token(granted.refresh_token)
            self._unsaved = None
        return granted.token
