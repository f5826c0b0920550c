"""Tokens, and the interfaces of grants and of token sources."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from listeners.salesforce.errors import LoginRefused

if TYPE_CHECKING:
    import requests


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, with the data that the login returned."""

    access_token: str = field(repr=False)
    instance_url: str  # scheme and host, no trailing slash
    org_id: str | None = None
    user_id: str | None = None
    issued_at: int | None = None  # milliseconds since the epoch
    scope: str | None = None
    #: The lifetime in seconds, if the answer has it; most of Salesforce's answers do not.
    expires_in: float | None = None


def lifetime_of(value: Any) -> float | None:
    """Return a lifetime in seconds from a number or a text; None for anything else."""
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < math.inf else None


def header_safe(access_token: Any, host: str) -> str:
    """Return the token if it is valid in a header. Raises LoginRefused otherwise, naming ``host``,
    because the error of ``requests`` would quote the token."""
    if isinstance(access_token, str) and access_token:
        if access_token.isascii() and access_token.isprintable() and " " not in access_token:
            return access_token
        why = f"{host} returned an access_token that cannot be sent in a header"
        raise LoginRefused(why, may_have_worked=True)
    raise LoginRefused(f"{host} returned no access_token", may_have_worked=True)


@dataclass(frozen=True, slots=True)
class LoginResult:
    """The result of a login: the token, and a refresh token if the answer has a new one, which
    replaces the one that was sent."""

    token: Token
    refresh_token: str | None = field(default=None, repr=False)


class Grant(Protocol):
    """A kind of login; the grants are in ``listeners.salesforce.auth``."""

    @property
    def refresh_token(self) -> str:
        """The refresh token that the next login sends; empty if it sends none."""
        return ""

    def login(self, http: requests.Session) -> LoginResult:
        """Log in once. Raises ``LoginRefused`` or ``LoginUnavailable``."""

    def with_refresh_token(self, refresh_token: str) -> Grant:
        """Return the grant that logs in with this refresh token; itself if it uses none."""
        return self


class Tokens(Protocol):
    """The source from which streams and REST clients get their token."""

    def get(self) -> Token:
        """Return the current token. Raises ``LoginRefused`` or ``LoginUnavailable``."""

    def invalidate(self, token: Token) -> None:
        """Do not return ``token`` again, because Salesforce refused it."""
