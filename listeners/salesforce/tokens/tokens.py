"""What a login gives, and who can give it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import requests


@dataclass(frozen=True, slots=True)
class Token:
    """What a login gave."""

    access_token: str = field(repr=False)
    instance_url: str  # scheme and host, no trailing slash
    org_id: str | None = None
    user_id: str | None = None
    issued_at: int | None = None  # milliseconds since the epoch
    scope: str | None = None
    #: Seconds to live, where the answer says so; most of Salesforce's don't.
    expires_in: float | None = None


def life_of(told: Any) -> float | None:
    """The seconds that an answer names, as a number or a text; None for anything else."""
    try:
        seconds = float(told)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < math.inf else None


@dataclass(frozen=True, slots=True)
class Granted:
    """A login's answer: the token, and the refresh token that replaces the one it used up."""

    token: Token
    refresh_token: str | None = field(default=None, repr=False)


class Grant(Protocol):
    """A way to log in; ``listeners.salesforce.auth`` has one slice for each."""

    @property
    def refresh_token(self) -> str:
        """The refresh token that the next login sends; empty where it sends none."""

    def login(self, http: requests.Session) -> Granted:
        """One login attempt. Raises ``LoginRefused`` or ``LoginUnavailable``."""

    def with_refresh_token(self, refresh_token: str) -> Grant:
        """The grant that logs in with this refresh token; itself where it uses none."""


class Tokens(Protocol):
    """Where streams and REST clients get their token from."""

    def get(self) -> Token:
        """The token to use now. Raises ``LoginRefused`` or ``LoginUnavailable``."""

    def invalidate(self, token: Token) -> None:
        """Salesforce refused ``token``: it is not given out again."""
