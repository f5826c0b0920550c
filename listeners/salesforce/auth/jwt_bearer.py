"""OAuth JWT bearer: a signed assertion instead of a password, as Salesforce recommends."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import jwt
import requests

from listeners.salesforce.auth.endpoint import OAuthGrant
from listeners.salesforce.errors import LoginRefused
from listeners.salesforce.tokens.tokens import LoginResult

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_SECONDS = 120  # Salesforce accepts 3 minutes at most, and clocks differ


@dataclass(frozen=True, slots=True)
class JwtBearer(OAuthGrant):
    """The grant. ``audience`` is the org's login URL, ``private_key`` an RSA key in PEM."""

    username: str
    private_key: str = field(repr=False)
    audience: str

    @property
    def has_client(self) -> bool:
        return bool(self.client_secret)

    def login(self, http: requests.Session) -> LoginResult:
        form = {"grant_type": GRANT_TYPE, "assertion": self._assertion()}
        return LoginResult(self.request(http, form).token)

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
