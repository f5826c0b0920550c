"""The OAuth grants: client credentials, JWT bearer, refresh token, and password."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Self

import jwt
import requests

from listeners.salesforce.auth.endpoint import OAuthGrant
from listeners.salesforce.errors import LoginRefused
from listeners.salesforce.tokens.tokens import Grant, LoginResult

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_SECONDS = 120  # Salesforce accepts 3 minutes at most, and clocks differ


@dataclass(frozen=True, slots=True)
class ClientCredentials(OAuthGrant):
    """OAuth client credentials: the connected app logs in as its run-as user.

    ``token_url`` must be on the org's own domain: Salesforce refuses it elsewhere.
    """

    def login(self, http: requests.Session) -> LoginResult:
        return LoginResult(self.request(http, {"grant_type": "client_credentials"}).token)


@dataclass(frozen=True, slots=True)
class JwtBearer(OAuthGrant):
    """OAuth JWT bearer: a signed assertion instead of a password, as Salesforce recommends.

    ``audience`` is the org's login URL, ``private_key`` an RSA key in PEM.
    """

    username: str
    private_key: str = field(repr=False)
    audience: str

    @property
    def has_client(self) -> bool:
        return bool(self.client_secret)

    def login(self, http: requests.Session) -> LoginResult:
        form = {"grant_type": _JWT_BEARER, "assertion": self._assertion()}
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
        # A public key has no `sign`, hence AttributeError. Raised outside of the except block, so
        # that its context is not the original exception, which may quote the key.
        raise LoginRefused("the private key cannot sign", remedy=remedy, is_final=True)


@dataclass(frozen=True, slots=True)
class RefreshToken(OAuthGrant):
    """OAuth refresh token.

    If Salesforce rotates refresh tokens, each may be sent once: a second time revokes all tokens of
    the login. ``session`` replaces the HTTP session that ``login`` is given.
    """

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


@dataclass(frozen=True, slots=True)
class Password(OAuthGrant):
    """OAuth user name and password, optionally with the refresh token that the login returns.

    ``password`` includes the user's security token, if one is needed.

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
