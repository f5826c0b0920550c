"""The token endpoint: three grants, their real errors, expiry, and refresh token rotation.

TokenError: what Salesforce answers, with status 400, to a request it refuses.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from simulator.ids import OpaqueIds
from simulator.records import JsonObject

SCOPE = "refresh_token api"


class TokenError(Exception):
    """The client must read `error` and `error_description`."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description

    def body(self) -> JsonObject:
        """The JSON of the answer."""
        return {"error": self.error, "error_description": self.description}


EXPIRED = TokenError("invalid_grant", "expired access/refresh token")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client must know to log in."""

    client_id: str
    client_secret: str
    username: str
    password: str
    refresh_token: str


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A line of the log of token requests."""

    at: int
    grant_type: str
    credential_bearer: str
    outcome: str


@dataclass(slots=True)
class TokenService:
    """Issues, checks and revokes tokens."""

    credentials: Credentials
    org_id: str
    user_id: str
    opaque: OpaqueIds
    lifetime_ms: int
    rotate: bool = False
    requests: list[TokenRequest] = field(default_factory=list)
    _expires_at: dict[str, int] = field(default_factory=dict)
    _refresh_token: str = ""
    _spent_refresh_tokens: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._refresh_token = self.credentials.refresh_token

    def grant(
        self,
        form: Mapping[str, str],
        basic: tuple[str, str] | None,
        *,
        base_url: str,
        now: int,
        refusal: TokenError | None = None,
    ) -> JsonObject:
        """The answer to a token request; raises TokenError. Either way it is logged.

        With `refusal`, the request is refused with it, however good it is.
        """
        outcome = "ok"
        try:
            if refusal:
                raise refusal
            return self._grant(form, basic, base_url, now)
        except TokenError as error:
            outcome = f"{error.error}: {error.description}"
            raise
        finally:
            bearer = "basic" if basic else "body"
            entry = TokenRequest(now, form.get("grant_type", ""), bearer, outcome)
            self.requests.append(entry)

    def _grant(
        self, form: Mapping[str, str], basic: tuple[str, str] | None, base_url: str, now: int
    ) -> JsonObject:
        grant_type = form.get("grant_type", "")
        if grant_type not in ("password", "refresh_token", "client_credentials"):
            raise TokenError("unsupported_grant_type", "grant type not supported")
        self._check_client(*(basic or (form.get("client_id", ""), form.get("client_secret", ""))))
        extra: JsonObject = {}
        if grant_type == "password":
            self._check_user(form)
        elif grant_type == "refresh_token":
            extra = self._refresh(form.get("refresh_token", ""))
        return {**self._issue(base_url, now), **extra}

    def _check_client(self, client_id: str, client_secret: str) -> None:
        if client_id != self.credentials.client_id:
            raise TokenError("invalid_client_id", "client identifier invalid")
        if client_secret != self.credentials.client_secret:
            raise TokenError("invalid_client", "invalid client credentials")

    def _check_user(self, form: Mapping[str, str]) -> None:
        expected = (self.credentials.username, self.credentials.password)
        if (form.get("username"), form.get("password")) != expected:
            raise TokenError("invalid_grant", "authentication failure")

    def _refresh(self, refresh_token: str) -> JsonObject:
        if refresh_token in self._spent_refresh_tokens:
            self.revoke_all()
            self._refresh_token = ""
            raise EXPIRED
        if not refresh_token or refresh_token != self._refresh_token:
            raise EXPIRED
        if not self.rotate:
            return {}
        return {"refresh_token": self.new_refresh_token()}

    def new_refresh_token(self) -> str:
        """Replace the refresh token, as rotation or a new authorization does."""
        if self._refresh_token:
            self._spent_refresh_tokens.add(self._refresh_token)
        self._refresh_token = f"5Aep861{self.opaque.secret(80)}"
        return self._refresh_token

    def _issue(self, base_url: str, now: int) -> JsonObject:
        token = f"{self.org_id[:15]}!AQ{self.opaque.secret(94)}"
        self._expires_at[token] = now + self.lifetime_ms
        identity = f"{base_url}/id/{self.org_id}/{self.user_id}"
        issued_at = str(now)
        key = self.credentials.client_secret.encode()
        digest = hmac.new(key, (identity + issued_at).encode(), hashlib.sha256).digest()
        return {
            "access_token": token,
            "signature": base64.b64encode(digest).decode(),
            "scope": SCOPE,
            "instance_url": base_url,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued_at,
        }

    def is_valid(self, token: str, now: int) -> bool:
        """Whether a request with this access token is let in."""
        return self._expires_at.get(token, 0) > now

    def revoke_all(self) -> int:
        """Revoke every access token; returns how many there were."""
        count = len(self._expires_at)
        self._expires_at.clear()
        return count

    def requests_since(self, at: int) -> int:
        """How many token requests came since then."""
        return sum(1 for request in self.requests if request.at >= at)
