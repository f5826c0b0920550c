"""OAuth client credentials: the connected app logs in as its run-as user."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import requests

from listeners.salesforce.auth.endpoint import DEFAULTS, OAuthOptions, request_token
from listeners.salesforce.tokens.tokens import LoginResult


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """The grant. ``token_url`` must be on the org's own domain: Salesforce refuses it elsewhere."""

    token_url: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)
    options: OAuthOptions = DEFAULTS

    @property
    def refresh_token(self) -> str:
        return ""

    def login(self, http: requests.Session) -> LoginResult:
        """Log in once. Raises ``LoginRefused`` or ``LoginUnavailable``."""
        result = request_token(
            http,
            self.token_url,
            {"grant_type": "client_credentials"},
            client=(self.client_id, self.client_secret),
            options=self.options,
        )
        return LoginResult(result.token)

    def with_refresh_token(self, refresh_token: str) -> Self:
        """Return this grant: it uses no refresh token."""
        return self
