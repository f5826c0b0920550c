"""A token that somebody else got: nothing to log in with when it ends."""

from __future__ import annotations

import threading

from listeners.salesforce.errors import LoginRefused
from listeners.salesforce.http.request import header_safe
from listeners.salesforce.tokens.tokens import Token


class BearerToken:
    """Gives out the one token, until Salesforce refuses it."""

    def __init__(self, access_token: str, instance_url: str) -> None:
        self._access_token = access_token
        self._instance_url = instance_url
        self._ended = threading.Event()

    def get(self) -> Token:
        """Raises ``LoginRefused`` once the token was refused."""
        if self._ended.is_set():
            raise LoginRefused(
                "the bearer token expired or was revoked",
                remedy="Enter a new one, or choose an authentication that renews its tokens.",
                is_final=True,
            )
        return Token(header_safe(self._access_token, "the connection"), self._instance_url)

    def invalidate(self, token: Token) -> None:
        """There is no other."""
        self._ended.set()
