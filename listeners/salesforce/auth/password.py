"""OAuth user name and password, optionally with the refresh token that the login returns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import requests

from listeners.salesforce.auth.endpoint import DEFAULTS, OAuthOptions, request_token
from listeners.salesforce.auth.refresh_token import RefreshToken
from listeners.salesforce.tokens.tokens import Grant, LoginResult


@dataclass(frozen=True, slots=True)
class Password:
    """The grant. ``password`` includes the user's security token, if one is needed.

    ``client_id`` and ``client_secret`` may be empty. With ``refresh``, later logins use the
    refresh token from the answer, until it is revoked.
    """

    token_url: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)
    username: str
    password: str = field(repr=False)
    options: OAuthOptions = DEFAULTS
    refresh: RefreshToken | None = None

    @property
    def refresh_token(self) -> str:
        return ""

    def login(self, http: requests.Session) -> LoginResult:
        """Log in once. Raises ``LoginRefused`` or ``LoginUnavailable``."""
        result = request_token(
            http,
            self.token_url,
            {"grant_type": "password", "username": self.username, "password": self.password},
            client=(self.client_id, self.client_secret) if self.client_id else None,
            options=self.options,
        )
        return result if self.refresh else LoginResult(result.token)

    def with_refresh_token(self, refresh_token: str) -> Grant:
        """Return the grant that uses the refresh token; this grant if ``refresh`` is not set."""
        return replace(self.refresh, refresh_token=refresh_token) if self.refresh else self
