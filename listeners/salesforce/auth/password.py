"""OAuth user name and password, optionally with the refresh token that the login returns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import requests

from listeners.salesforce.auth.endpoint import OAuthGrant
from listeners.salesforce.auth.refresh_token import RefreshToken
from listeners.salesforce.tokens.tokens import Grant, LoginResult


@dataclass(frozen=True, slots=True)
class Password(OAuthGrant):
    """The grant. ``password`` includes the user's security token, if one is needed.

    ``client_id`` and ``client_secret`` may be empty. With ``refresh``, later logins use the
    refresh token from the answer, until it is revoked.
    """

    username: str
    password: str = field(repr=False)
    refresh: RefreshToken | None = None

    def login(self, http: requests.Session) -> LoginResult:
        form = {"grant_type": "password", "username": self.username, "password": self.password}
        result = self.request(http, form)
        return result if self.refresh else LoginResult(result.token)

    def with_refresh_token(self, refresh_token: str) -> Grant:
        return replace(self.refresh, refresh_token=refresh_token) if self.refresh else self
