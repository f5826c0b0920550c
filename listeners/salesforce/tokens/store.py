"""Where the tokens of a login are kept, and the lock under which they are renewed.

TokenStoreUnavailable   the store does not answer; what a login gave is kept and stored later
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum, auto
from typing import Protocol

from listeners.salesforce.errors import Reaction, SalesforceError
from listeners.salesforce.tokens.tokens import Token


class TokenStoreUnavailable(SalesforceError):
    """The token store does not answer. Bring the database or Redis back; it is tried again."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the token store does not answer: {why}", reaction=Reaction.RETRY)


def digest(text: str) -> str:
    """SHA-256 of a secret that is long and random, such as a token."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Kept:
    """What a store holds of one set of credentials.

    seed            digest of the credentials
    granted_at      when the token was got, in seconds since 1970
    refresh_token   what the next refresh sends; empty where the configured one is due
    rotates         Salesforce has replaced a refresh token before
    sending         digest of the refresh token of a refresh whose outcome is not known,
    sender          whose refresh that is, and
    sent_at         since when, in seconds since 1970
    """

    seed: str = ""
    token: Token | None = None
    granted_at: float = 0.0
    refresh_token: str = field(default="", repr=False)
    rotates: bool = False
    sending: str = ""
    sender: str = ""
    sent_at: float = 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Kept:
        """Raises ValueError for what ``to_json`` did not write."""
        values = json.loads(text)
        try:
            parts = values["token"]
            token = None if parts is None else Token(**parts)
            return cls(**{**values, "token": token})
        except (TypeError, KeyError):
            raise ValueError("no tokens") from None


class TokenStore(Protocol):
    """One connection's tokens, shared by whoever uses the same store: a slot for each seed, so that
    a process that still has the credentials of yesterday overwrites nothing.

    Each method raises ``TokenStoreUnavailable``.
    """

    def load(self, seed: str) -> Kept:
        """What is kept under the seed; ``Kept()``, without one, when there is nothing."""

    def lock(self, owner: str, seconds: float) -> int | None:
        """The fence of a new lock, above all before it; None while somebody else holds one."""

    def extend(self, fence: int, seconds: float) -> bool:
        """Hold the lock for longer; False when it has gone to somebody else."""

    def save(self, fence: int, kept: Kept) -> bool:
        """Replace what its seed's slot holds, durably; False when the lock has gone to somebody
        else."""

    def unlock(self, fence: int) -> None:
        """Give the lock back; nothing happens when it has gone to somebody else."""

    def close(self) -> None:
        """This thread needs the store no more."""


class MemoryStore:
    """For one process: its threads share the tokens, and they end with it."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._kept: dict[str, Kept] = {}
        self._fence = 0
        self._locked_until: float | None = None

    def load(self, seed: str) -> Kept:
        with self._guard:
            return self._kept.get(seed, Kept())

    def lock(self, owner: str, seconds: float) -> int | None:
        with self._guard:
            now = self._monotonic()
            if self._locked_until is not None and now < self._locked_until:
                return None
            self._fence += 1
            self._locked_until = now + seconds
            return self._fence

    def extend(self, fence: int, seconds: float) -> bool:
        with self._guard:
            if fence != self._fence:
                return False
            self._locked_until = self._monotonic() + seconds
            return True

    def save(self, fence: int, kept: Kept) -> bool:
        with self._guard:
            if fence != self._fence:
                return False
            self._kept[kept.seed] = kept
            return True

    def unlock(self, fence: int) -> None:
        with self._guard:
            if fence == self._fence:
                self._locked_until = None

    def close(self) -> None:
        pass


class Trouble(StrEnum):
    """What an operator should know about a refresh token that Salesforce rotates."""

    NOT_STORED = auto()  # the new one is in this process' memory only, until the store answers
    CUT_OFF = auto()  # a refresh was cut off: the stored one may be spent
    REVOKED = auto()  # the stored one was refused: enter a new one


class Ledger(Protocol):
    """Each method may raise ``TokenStoreUnavailable``."""

    def check(self, seed: str) -> None:
        """Raises ``LoginRefused`` when these credentials were refused often enough."""

    def refused(self, seed: str, reason: str) -> None: ...

    def accepted(self, seed: str) -> None: ...

    def is_spent(self, refresh_token: str) -> bool:
        """Whether it was used up or revoked: sending it again would revoke all there is."""

    def spend(self, refresh_token: str) -> None: ...

    def trouble(self, trouble: Trouble) -> None:
        """Open an incident, or do nothing when it is open."""

    def mended(self, trouble: Trouble) -> None:
        """Close the incident if there is one."""


class NoLedger:
    """Remembers what was spent, for this process alone, and reports nothing."""

    def __init__(self) -> None:
        self._spent: set[str] = set()

    def check(self, seed: str) -> None:
        pass

    def refused(self, seed: str, reason: str) -> None:
        pass

    def accepted(self, seed: str) -> None:
        pass

    def is_spent(self, refresh_token: str) -> bool:
        return refresh_token in self._spent

    def spend(self, refresh_token: str) -> None:
        self._spent.add(refresh_token)

    def trouble(self, trouble: Trouble) -> None:
        pass

    def mended(self, trouble: Trouble) -> None:
        pass
