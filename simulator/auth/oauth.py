"""The token service: grants and scopes, errors, expiry, and the revocation on token reuse."""

import base64
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from simulator.auth import jwt_bearer
from simulator.auth.refresh_tokens import RefreshTokens
from simulator.auth.token_errors import (
    EXPIRED,
    INVALID_LOGIN,
    NO_RUN_AS_USER,
    UNKNOWN_CLIENT,
    UNSUPPORTED_GRANT,
    WRONG_PASSWORD,
    WRONG_SECRET,
    TokenError,
)
from simulator.auth.user import Door
from simulator.evidence import Arrival, TokenLog, TokenRequest
from simulator.org.ids import OpaqueIds
from simulator.org.records import JsonObject

GRANT_TYPES = ("password", "refresh_token", "client_credentials", jwt_bearer.GRANT_TYPE)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of a client."""

    client_id: str
    client_secret: str
    username: str
    password: str
    refresh_token: str


@dataclass(frozen=True, slots=True)
class Rules:
    """The org's settings for token requests."""

    checks_client: bool = True
    has_run_as_user: bool = True
    password_gives_refresh_token: bool = False


@dataclass(frozen=True, slots=True)
class TokenCall:
    """A token request; `now` is the org's time, `client_now` the time of its clients."""

    arrival: Arrival
    base_url: str
    form: Mapping[str, str]
    basic: tuple[str, str] | None = None
    grant_type: str = ""
    client_now: int = 0

    @property
    def bearer(self) -> str:
        """Where the request had the client's id and secret: `basic` or `body`."""
        return "basic" if self.basic else "body"


Grant = Callable[[TokenCall, int], JsonObject]


@dataclass(slots=True)
class TokenService:
    """Issues, checks and revokes tokens."""

    credentials: Credentials
    org_id: str
    user_id: str
    opaque: OpaqueIds
    lifetime_ms: int
    refresh_tokens: RefreshTokens
    door: Door
    app_key: jwt_bearer.AppKey
    rules: Rules = Rules()
    log: TokenLog = field(default_factory=TokenLog)
    _expires_at: dict[str, int] = field(default_factory=dict)

    def answer(
        self, call: TokenCall, grant: Grant, *, now: int, refusal: TokenError | None = None
    ) -> JsonObject:
        """The answer to a token request; raises TokenError. Either way it is logged.

        `grant` is one of this service's methods. With `refusal`, the request is refused even
        if it is valid.
        """
        outcome = "ok"
        token = call.form.get("refresh_token", "") if call.grant_type == "refresh_token" else ""
        reused = refusal is None and self.refresh_tokens.is_spent(token)
        try:
            if refusal:
                raise refusal
            return grant(call, now)
        except TokenError as error:
            outcome = str(error)
            raise
        finally:
            self.note(call, outcome, reused=reused)

    def note(self, call: TokenCall, outcome: str, *, reused: bool = False) -> None:
        """Log a token request."""
        self.log.add(
            TokenRequest(
                call.arrival, dict(call.form), call.grant_type, call.bearer, outcome, reused
            )
        )

    def oauth(self, call: TokenCall, now: int) -> JsonObject:
        """Answer a request to the token endpoint. Raises TokenError."""
        if call.grant_type not in GRANT_TYPES:
            raise TokenError(*UNSUPPORTED_GRANT)
        if call.grant_type != jwt_bearer.GRANT_TYPE:
            self._check_client(call)
        scope = granted(call.form.get("scope", ""))
        extra = self._authorize(call)
        return {**self._issue(call.base_url, now, scope), **extra}

    def soap(self, password: str) -> Grant:
        """Return the grant of a SOAP login with this password, which is not logged."""

        def grant(call: TokenCall, now: int) -> JsonObject:
            if not self.door.admits(call.form.get("username", ""), password):
                raise TokenError(*INVALID_LOGIN)
            return self._issue(call.base_url, now, "")

        return grant

    def _check_client(self, call: TokenCall) -> None:
        names = ("client_id", "client_secret")
        sent = call.basic or tuple(call.form.get(name) for name in names)
        optional = call.grant_type == "password" and not self.rules.checks_client
        expected = (self.credentials.client_id, self.credentials.client_secret)
        for value, wanted, error in zip(
            sent, expected, (UNKNOWN_CLIENT, WRONG_SECRET), strict=True
        ):
            if value != wanted and not (optional and value is None):
                raise TokenError(*error)

    def _authorize(self, call: TokenCall) -> JsonObject:
        """Return the grant's part of the response. Raises TokenError."""
        match call.grant_type:
            case "password":
                return self._by_password(call.form)
            case "refresh_token":
                return self._refresh(call.form.get("refresh_token", ""))
            case "client_credentials":
                if not self.rules.has_run_as_user:
                    raise TokenError(*NO_RUN_AS_USER)
            case jwt_bearer.GRANT_TYPE:
                self._check_assertion(call)
            case _:
                raise TokenError(*UNSUPPORTED_GRANT)
        return {}

    def _by_password(self, form: Mapping[str, str]) -> JsonObject:
        if not self.door.admits(form.get("username", ""), form.get("password", "")):
            raise TokenError(*WRONG_PASSWORD)
        if not self.rules.password_gives_refresh_token:
            return {}
        return {"refresh_token": self.refresh_tokens.current or self.refresh_tokens.renew()}

    def _check_assertion(self, call: TokenCall) -> None:
        subject = jwt_bearer.checked_subject(
            call.form.get("assertion", ""),
            self.app_key,
            client_id=self.credentials.client_id,
            base_url=call.base_url,
            now=call.client_now,
        )
        if not self.door.is_user(subject):
            raise TokenError(*jwt_bearer.NOT_APPROVED)

    def _refresh(self, refresh_token: str) -> JsonObject:
        if self.refresh_tokens.is_spent(refresh_token):
            self.revoke_all()
            self.refresh_tokens.revoke()
            raise TokenError(*EXPIRED)
        self.refresh_tokens.check(refresh_token)
        if not self.refresh_tokens.rotate:
            return {}
        return {"refresh_token": self.refresh_tokens.renew()}

    def _issue(self, base_url: str, now: int, scope: str) -> JsonObject:
        token = f"{self.org_id[:15]}!AQ{self.opaque.secret(94)}"
        self._expires_at[token] = now + self.lifetime_ms
        identity = f"{base_url}/id/{self.org_id}/{self.user_id}"
        issued_at = str(now)
        key = self.credentials.client_secret.encode()
        digest = hmac.digest(key, (identity + issued_at).encode(), "sha256")
        return {
            "access_token": token,
            "signature": base64.b64encode(digest).decode(),
            "scope": scope,
            "instance_url": base_url,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued_at,
        }

    def is_valid(self, token: str, now: int) -> bool:
        """Return whether the access token is valid."""
        return self._expires_at.get(token, 0) > now

    def milliseconds_left(self, token: str, now: int) -> int:
        """Return how long the access token is still valid."""
        return max(self._expires_at.get(token, 0) - now, 0)

    def revoke(self, token: str) -> bool:
        """Revoke an access token, or the refresh token and all access tokens. Returns False for
        neither."""
        if token and token == self.refresh_tokens.current:
            self.refresh_tokens.revoke()
            self.revoke_all()
            return True
        return self._expires_at.pop(token, None) is not None

    def revoke_all(self) -> int:
        """Revoke every access token, and return how many there were."""
        count = len(self._expires_at)
        self._expires_at.clear()
        return count


GRANTED = ("refresh_token", "api")
KNOWN = frozenset(
    (
        *("address", "api", "cdp_api", "cdp_ingest_api", "cdp_profile_api", "cdp_query_api"),
        *("chatter_api", "content", "custom_permissions", "eclair_api", "email", "full"),
        *("id", "lightning", "offline_access", "openid", "pardot_api", "phone", "profile"),
        *("refresh_token", "sfap_api", "visualforce", "wave_api", "web"),
    )
)


def granted(asked: str) -> str:
    """Return the scope of the response: the requested scopes that are granted, or all granted ones.

    Raises TokenError for an unknown scope, and if no requested scope is granted.
    """
    names = asked.split()
    if not names:
        return " ".join(GRANTED)
    if any(name not in KNOWN for name in names):
        raise TokenError("invalid_scope", "the requested scope is invalid, unknown, or malformed")
    allowed = [name for name in names if name in GRANTED]
    if not allowed:
        raise TokenError("invalid_scope", "the requested scope is not allowed")
    return " ".join(allowed)
