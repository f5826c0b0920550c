"""The user's password and the one refresh token, which a login must match, and the errors.

TokenError: sent as JSON with status 400 by the token endpoint, as a fault by the SOAP API.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from simulator.options import Options
from simulator.org.ids import OpaqueIds
from simulator.org.records import JsonObject


class TokenError(Exception):
    """A refused login. The client reads `error` and `error_description`."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description

    def body(self) -> JsonObject:
        return {"error": self.error, "error_description": self.description}


UNSUPPORTED_GRANT = ("unsupported_grant_type", "grant type not supported")
UNKNOWN_CLIENT = ("invalid_client_id", "client identifier invalid")
WRONG_SECRET = ("invalid_client", "invalid client credentials")
WRONG_PASSWORD = ("invalid_grant", "authentication failure")
EXPIRED = ("invalid_grant", "expired access/refresh token")
BUSY = ("invalid_grant", "token request is already being processed")
NO_RUN_AS_USER = ("invalid_grant", "no client credentials user enabled")
INVALID_LOGIN = (
    "INVALID_LOGIN",
    "Invalid username, password, security token; or user locked out.",
)


@dataclass(slots=True)
class Door:
    """Checks the user's logins, and locks the user after as many failures as `--lock-after`."""

    options: Options
    failed: int = 0
    failed_in_a_row: int = 0
    locked: bool = False

    def is_user(self, username: str) -> bool:
        """Return whether this is the user, ignoring case."""
        return username.casefold() == self.options.username.casefold()

    def admits(self, username: str, password: str) -> bool:
        """Return whether the login is valid; to a locked user, no password is."""
        if not self.is_user(username):
            self.failed += 1
            return False
        if password == self.options.password and not self.locked:
            self.failed_in_a_row = 0
            return True
        self.failed += 1
        self.failed_in_a_row += 1
        self.locked = self.locked or 0 < self.options.lock_after <= self.failed_in_a_row
        return False

    def unlock(self) -> None:
        self.locked = False
        self.failed_in_a_row = 0


@dataclass(slots=True)
class RefreshTokens:
    """The current refresh token. With `rotate`, each refresh replaces it by a new one."""

    opaque: OpaqueIds
    current: str
    rotate: bool
    _spent: set[str] = field(default_factory=set)
    in_progress: set[str] = field(default_factory=set)

    def renew(self) -> str:
        """Replace the token, as rotation or a new authorization does."""
        if self.current:
            self._spent.add(self.current)
        self.current = f"5Aep861{self.opaque.secret(80)}"
        return self.current

    def revoke(self) -> None:
        """Revoke the token: none works until a new authorization."""
        self.current = ""

    def is_spent(self, token: str) -> bool:
        """Return whether the token was replaced, so that its use is a reuse."""
        return token in self._spent

    @contextmanager
    def processing(self, token: str) -> Iterator[TokenError | None]:
        """Mark a refresh as in progress, and yield the refusal of a concurrent one."""
        if token in self.in_progress:
            yield TokenError(*BUSY)
            return
        if token:
            self.in_progress.add(token)
        try:
            yield None
        finally:
            self.in_progress.discard(token)
