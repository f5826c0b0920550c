"""OAuth refresh token, with or without rotation by Salesforce."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import requests

from listeners.salesforce.auth.endpoint import OAuthGrant
from listeners.salesforce.tokens.tokens import LoginResult


@dataclass(frozen=True, slots=True)
class RefreshToken(OAuthGrant):
    """The grant. With rotation, a second use of a refresh token revokes all tokens of the login."""

    refresh_token: str = field(repr=False)
    session: requests.Session | None = field(default=None, repr=False, compare=False)

    def login(self, http: requests.Session) -> LoginResult:
        form = {"grant_type": "refresh_token", "refresh_token": self.refresh_token}
        result = self.request(self.session or http, form)
        if result.refresh_token == self.refresh_token:  # returned unchanged: not rotated
            return LoginResult(result.token)
        return result

    def with_refresh_token(self, refresh_token: str) -> Self:
        return replace(self, refresh_token=refresh_token)
