"""The token service: grants and scopes, errors, expiry, and the revocation on token reuse."""

import base64
import hmac
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from simulator.auth import jwt_bearer
from simulator.auth.credentials import (
    EXPIRED,
    INVALID_LOGIN,
    NO_RUN_AS_USER,
    UNKNOWN_CLIENT,
    UNSUPPORTED_GRANT,
    WRONG_PASSWORD,
    WRONG_SECRET,
    Door,
    RefreshTokens,
    TokenError,
)
from simulator.evidence import MAX_ENTRIES, Arrival
from simulator.options import Options
from simulator.org.ids import ORG_ID, USER_ID, OpaqueIds
from simulator.org.records import JsonObject

MINUTE_MS = 60_000
GRANT_TYPES = ("password", "refresh_token", "client_credentials", jwt_bearer.GRANT_TYPE)


def identity_url(base_url: str) -> str:
    """Return the URL that identifies the user everywhere in OAuth."""
    return f"{base_url}/id/{ORG_ID}/{USER_ID}"


@dataclass(slots=True)
class TokenCall:
    """A token request at `client_now`, the time of the org's clients, and its entry in the log.

    `password` is that of a SOAP login, which the log does not show.
    """

    arrival: Arrival
    base_url: str
    form: Mapping[str, str]
    grant_type: str
    client_now: int
    basic: tuple[str, str] | None = None
    password: str = ""
    outcome: str = ""
    refresh_token_reused: bool = False

    @property
    def refresh_token(self) -> str:
        """The refresh token, empty for any other grant."""
        return self.form.get("refresh_token", "") if self.grant_type == "refresh_token" else ""

    def line(self) -> JsonObject:
        """Return the entry as the control API shows it."""
        return {
            **asdict(self.arrival),
            "form": self.form,
            "grant_type": self.grant_type,
            "credential_bearer": "basic" if self.basic else "body",
            "outcome": self.outcome,
            "refresh_token_reused": self.refresh_token_reused,
            "minute": self.arrival.at // MINUTE_MS,
        }


Grant = Callable[[TokenCall, int], JsonObject]


class TokenService:
    """Issues, checks and revokes tokens."""

    def __init__(self, options: Options, opaque: OpaqueIds) -> None:
        """Raises ValueError for an unusable public key."""
        self.options = options
        self.lifetime_ms = int(options.session_seconds * 1000)
        self.refresh_tokens = RefreshTokens(
            opaque, options.refresh_token, options.rotate_refresh_tokens
        )
        self.door = Door(options)
        self.app_key = jwt_bearer.AppKey(options.jwt_public_key)
        self.log: deque[TokenCall] = deque(maxlen=MAX_ENTRIES)
        self.refreshes = 0
        self.reuses = 0
        self._opaque = opaque
        self._expires_at: dict[str, int] = {}

    def outcome(
        self, call: TokenCall, grant: Grant, *, now: int, refusal: TokenError | None
    ) -> JsonObject | TokenError:
        """Return the answer to a token request, and log it.

        `grant` is one of this service's methods. With `refusal`, the request is refused even
        if it is valid.
        """
        call.refresh_token_reused = not refusal and self.refresh_tokens.is_spent(call.refresh_token)
        try:
            outcome = refusal or grant(call, now)
        except TokenError as refused:
            outcome = refused
        self.note(call, str(outcome) if isinstance(outcome, TokenError) else "ok")
        return outcome

    def note(self, call: TokenCall, outcome: str) -> None:
        call.outcome = outcome
        self.log.append(call)
        self.refreshes += call.grant_type == "refresh_token"
        self.reuses += call.refresh_token_reused

    def oauth(self, call: TokenCall, now: int) -> JsonObject:
        """Answer a request to the token endpoint. Raises TokenError."""
        if call.grant_type not in GRANT_TYPES:
            raise TokenError(*UNSUPPORTED_GRANT)
        if call.grant_type != jwt_bearer.GRANT_TYPE:
            self._check_client(call)
        scope = granted(call.form.get("scope", ""))
        extra = self._authorize(call)
        return {**self._issue(call.base_url, now, scope), **extra}

    def soap(self, call: TokenCall, now: int) -> JsonObject:
        """Answer a SOAP login. Raises TokenError."""
        if not self.door.admits(call.form["username"], call.password):
            raise TokenError(*INVALID_LOGIN)
        return self._issue(call.base_url, now, "")

    def _check_client(self, call: TokenCall) -> None:
        names = ("client_id", "client_secret")
        sent = call.basic or tuple(call.form.get(name) for name in names)
        optional = call.grant_type == "password" and self.options.no_client_check
        expected = (self.options.client_id, self.options.client_secret)
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
                return self._refresh(call.refresh_token)
            case "client_credentials":
                if self.options.no_client_credentials_user:
                    raise TokenError(*NO_RUN_AS_USER)
            case jwt_bearer.GRANT_TYPE:
                self._check_assertion(call)
            case _:
                raise TokenError(*UNSUPPORTED_GRANT)
        return {}

    def _by_password(self, form: Mapping[str, str]) -> JsonObject:
        if not self.door.admits(form.get("username", ""), form.get("password", "")):
            raise TokenError(*WRONG_PASSWORD)
        if not self.options.password_refresh_tokens:
            return {}
        return {"refresh_token": self.refresh_tokens.current or self.refresh_tokens.renew()}

    def _check_assertion(self, call: TokenCall) -> None:
        subject = jwt_bearer.checked_subject(
            call.form.get("assertion", ""),
            self.app_key,
            client_id=self.options.client_id,
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
        if not refresh_token or refresh_token != self.refresh_tokens.current:
            raise TokenError(*EXPIRED)
        if not self.refresh_tokens.rotate:
            return {}
        return {"refresh_token": self.refresh_tokens.renew()}

    def _issue(self, base_url: str, now: int, scope: str) -> JsonObject:
        token = f"{ORG_ID[:15]}!AQ{self._opaque.secret(94)}"
        self._expires_at[token] = now + self.lifetime_ms
        identity, issued_at = identity_url(base_url), str(now)
        key = self.options.client_secret.encode()
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
        return self.milliseconds_left(token, now) > 0

    def milliseconds_left(self, token: str, now: int) -> int:
        """Return how long the access token is still valid."""
        return max(self._expires_at.get(token, 0) - now, 0)

    def revoke(self, token: str) -> bool:
        """Revoke an access token, or the refresh token and with it all access tokens."""
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
    names = asked.split() or GRANTED
    if not KNOWN.issuperset(names):
        raise TokenError("invalid_scope", "the requested scope is invalid, unknown, or malformed")
    allowed = [name for name in names if name in GRANTED]
    if not allowed:
        raise TokenError("invalid_scope", "the requested scope is not allowed")
    return " ".join(allowed)
