"""The refresh token of the org's one authorization: rotation, reuse and concurrent use."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from simulator.auth.token_errors import BUSY, EXPIRED, TokenError
from simulator.org.ids import OpaqueIds


@dataclass(slots=True)
class RefreshTokens:
    """The current refresh token. With `rotate`, each refresh replaces it by a new one."""

    opaque: OpaqueIds
    current: str
    rotate: bool = False
    _spent: set[str] = field(default_factory=set)
    _in_progress: set[str] = field(default_factory=set)

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

    def check(self, token: str) -> None:
        """Raise TokenError unless this is the current token."""
        if not token or token != self.current:
            raise TokenError(*EXPIRED)

    @property
    def in_progress(self) -> int:
        """The number of refreshes in progress."""
        return len(self._in_progress)

    @contextmanager
    def processing(self, token: str) -> Iterator[TokenError | None]:
        """Mark a refresh with this token as in progress; yields the refusal for a concurrent
        one."""
        if not token:
            yield None
            return
        if token in self._in_progress:
            yield TokenError(*BUSY)
            return
        self._in_progress.add(token)
        try:
            yield None
        finally:
            self._in_progress.discard(token)
