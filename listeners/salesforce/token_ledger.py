"""What is remembered of a connection's logins beside its tokens, whichever store keeps those."""

from __future__ import annotations

from enum import StrEnum, auto
from typing import Protocol


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
