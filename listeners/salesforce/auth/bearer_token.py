"""A bearer token that an operator entered, and that cannot be renewed."""

from __future__ import annotations

import threading

from listeners.salesforce.errors import LoginRefused
from listeners.salesforce.tokens.tokens import Token, header_safe


class BearerToken:
    """Returns the configured token, until Salesforce refuses it."""

    def __init__(self, access_token: str, instance_url: str) -> None:
        self._access_token = access_token
        self._instance_url = instance_url
        self._ended = threading.Event()

    def get(self) -> Token:
        """Return the token. Raises ``LoginRefused`` once Salesforce has refused it."""
        if self._ended.is_set():
            raise LoginRefused(
                "the bearer token expired or was revoked",
                remedy="Enter a new token, or choose a kind of login that renews its tokens.",
                is_final=True,
            )
        return Token(header_safe(self._access_token, "the connection"), self._instance_url)

    def invalidate(self, token: Token) -> None:
        """Refuse further use: there is no other token."""
        self._ended.set()
