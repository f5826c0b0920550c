"""OAuth refresh token, with or without rotation by Salesforce."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import requests

from listeners.salesforce.auth.endpoint import DEFAULTS, OAuthOptions, request_token
from listeners.salesforce.tokens.tokens import Granted


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """The grant. With rotation each refresh token works once, and a second use revokes all."""

    token_url: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    options: OAuthOptions = DEFAULTS
    own_http: requests.Session | None = field(default=None, repr=False, compare=False)

    def login(self, http: requests.Session) -> Granted:
        """Log in once. Raises ``LoginRefused`` or ``LoginUnavailable``."""
        granted = request_token(
            self.own_http or http,
            self.token_url,
            {"grant_type": "refresh_token", "refresh_token": self.refresh_token},
            client=(self.client_id, self.client_secret) if self.client_id else None,
            options=self.options,
        )
        if granted.refresh_token == self.refresh_token:  # returned unchanged: not rotated
            return Granted(granted.token)
        return granted

    def with_refresh_token(self, refresh_token: str) -> Self:
        """Return this grant with another refresh token."""
        return replace(self, refresh_token=refresh_token)
