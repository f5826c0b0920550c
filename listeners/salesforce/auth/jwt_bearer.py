"""OAuth JWT bearer: a signed assertion instead of a password, as Salesforce recommends."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Self

import jwt
import requests

from listeners.salesforce.auth.endpoint import DEFAULTS, OAuthOptions, request_token
from listeners.salesforce.errors import LoginRefused
from listeners.salesforce.tokens.tokens import LoginResult

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_SECONDS = 120  # Salesforce accepts 3 minutes at most, and clocks differ


@dataclass(frozen=True, slots=True)
class JwtBearer:
    """The grant. ``audience`` is the org's login URL, ``private_key`` an RSA key in PEM."""

    token_url: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)
    username: str
    private_key: str = field(repr=False)
    audience: str
    options: OAuthOptions = DEFAULTS

    @property
    def refresh_token(self) -> str:
        return ""

    def login(self, http: requests.Session) -> LoginResult:
        """Log in once. Raises ``LoginRefused`` or ``LoginUnavailable``."""
        result = request_token(
            http,
            self.token_url,
            {"grant_type": GRANT_TYPE, "assertion": self._assertion()},
            client=(self.client_id, self.client_secret) if self.client_secret else None,
            options=self.options,
        )
        return LoginResult(result.token)

    def with_refresh_token(self, refresh_token: str) -> Self:
        """Return this grant: it uses no refresh token."""
        return self

    def _assertion(self) -> str:
        claims = {
            "iss": self.client_id,
            "sub": self.username,
            "aud": self.audience,
            "exp": int(time.time()) + _ASSERTION_SECONDS,
        }
        try:
            return jwt.encode(claims, self.private_key, algorithm="RS256")
        except (ValueError, TypeError, AttributeError, jwt.PyJWTError):
            remedy = "Enter an RSA private key in PEM, without a passphrase."
        # AttributeError: a public key has no `sign`. Raised outside of the except block, because
        # the original exception may quote the key.
        raise LoginRefused("the private key cannot sign", remedy=remedy, is_final=True)
