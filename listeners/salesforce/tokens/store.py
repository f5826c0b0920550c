"""The interfaces of token stores and login ledgers, and the versions of both in memory.

TokenStoreUnavailable   the store does not answer; new tokens are held in memory and stored later
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
    """The token store does not answer. Restore the database or Redis; the login is retried."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the token store does not answer: {why}", reaction=Reaction.RETRY)


def digest(text: str) -> str:
    """Return the SHA-256 of a secret that is long and random, such as a token."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """The stored tokens of one set of credentials.

    seed            digest of the credentials for which they were granted
    granted_at      when the token was granted, in seconds since 1970
    refresh_token   what the next refresh sends; empty to send the configured one
    rotates         Salesforce has replaced a refresh token before
    sending         digest of a refresh token that was sent, with unknown outcome
    sender          the process that sent it
    sent_at         when it was sent, in seconds since 1970
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
    def from_json(cls, text: str) -> StoredTokens:
        """Return the tokens from the form of ``to_json``. Raises ValueError for any other text."""
        values = json.loads(text)
        try:
            parts = values["token"]
            token = None if parts is None else Token(**parts)
            return cls(**{**values, "token": token})
        except (TypeError, KeyError):
            raise ValueError("the JSON is not in the stored form of tokens") from None


class TokenStore(Protocol):
    """The tokens of a connection, shared by all processes that use the same store.

    Tokens are stored by seed, so that a process with outdated credentials overwrites nothing. Each
    method may raise ``TokenStoreUnavailable``.
    """

    def load(self, seed: str) -> StoredTokens:
        """Return the tokens stored for the seed; without any, ``StoredTokens()``, whose seed is
        empty."""

    def lock(self, owner: str, seconds: float) -> int | None:
        """Lock, and return a fence above all earlier ones; None while another holder has it."""

    def extend(self, fence: int, seconds: float) -> bool:
        """Extend the lock; False if another holder has taken it."""

    def save(self, fence: int, kept: StoredTokens) -> bool:
        """Store the tokens of a seed durably; False if another holder has taken the lock."""

    def unlock(self, fence: int) -> None:
        """Release the lock; do nothing if another holder has taken it."""

    def close(self) -> None:
        """Release the resources of this thread."""


class MemoryStore:
    """A store for the threads of one process, which ends with the process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._kept: dict[str, StoredTokens] = {}
        self._fence = 0
        self._locked_until: float | None = None

    def load(self, seed: str) -> StoredTokens:
        with self._guard:
            return self._kept.get(seed, StoredTokens())

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

    def save(self, fence: int, kept: StoredTokens) -> bool:
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
    """A problem with a rotated refresh token, which opens an incident."""

    NOT_STORED = auto()  # the new token is only in this process's memory until the store answers
    CUT_OFF = auto()  # a refresh was interrupted: the stored token may be spent
    REVOKED = auto()  # the stored token was refused: an operator must enter a new one


class Ledger:
    """The record of login attempts and spent refresh tokens; this base class does nothing.

    Each method may raise ``TokenStoreUnavailable``.
    """

    def check(self, seed: str) -> None:
        """Raise ``LoginRefused`` or ``LoginUnavailable`` if the credentials must not be tried."""

    def refused(self, seed: str, reason: str) -> None:
        """Note that Salesforce refused a login with these credentials."""

    def accepted(self, seed: str) -> None:
        """Note that Salesforce accepted a login with these credentials."""

    def is_spent(self, refresh_token: str) -> bool:
        """Return whether the token was used or revoked: sending it would revoke all tokens."""
        return False

    def spend(self, refresh_token: str) -> None:
        """Note that the token was used or revoked."""

    def trouble(self, trouble: Trouble) -> None:
        """Open an incident, unless it is open."""

    def mended(self, trouble: Trouble) -> None:
        """Close the incident, if it is open."""


class MemoryLedger(Ledger):
    """A ledger that remembers spent tokens in memory, limits no attempts and reports nothing."""

    def __init__(self) -> None:
        self._spent: set[str] = set()

    def is_spent(self, refresh_token: str) -> bool:
        return refresh_token in self._spent

    def spend(self, refresh_token: str) -> None:
        self._spent.add(refresh_token)
