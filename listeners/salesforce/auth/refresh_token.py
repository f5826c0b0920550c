"""OAuth refresh token, with or without rotation by Salesforce."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import requests

from listeners.salesforce.auth.endpoint import DEFAULTS, OAuthOptions, request_token
from listeners.salesforce.tokens.tokens import LoginResult


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """The grant. With rotation, a second use of a refresh token revokes all tokens of the login."""

    token_url: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    options: OAuthOptions = DEFAULTS
    session: requests.Session | None = field(default=None, repr=False, compare=False)

    def login(self, http: requests.Session) -> LoginResult:
        """Log in once. Raises ``LoginRefused`` or ``LoginUnavailable``."""
        result = request_token(
            self.session or http,
            self.token_url,
            {"grant_type": "refresh_token", "refresh_token": self.refresh_token},
            client=(self.client_id, self.client_secret) if self.client_id else None,
            options=self.options,
        )
        if result.refresh_token == self.refresh_token:  # returned unchanged: not rotated
            return LoginResult(result.token)
        return result

    def with_refresh_token(self, refresh_token: str) -> Self:
        """Return this grant with another refresh token."""
        return replace(self, refresh_token=refresh_token)
