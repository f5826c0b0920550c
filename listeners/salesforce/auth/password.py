"""OAuth user name and password."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import requests

from listeners.salesforce.auth.endpoint import DEFAULT_TIMEOUT, CredentialBearer, request_token
from listeners.salesforce.exchange import Timeout
from listeners.salesforce.tokens import Granted


@dataclass(frozen=True, slots=True)
class Password:
    """``password`` is the password with the user's security token appended, if one is needed."""

    token_url: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)
    username: str
    password: str = field(repr=False)
    bearer: CredentialBearer = CredentialBearer.POST_BODY
    timeout: Timeout = DEFAULT_TIMEOUT

    def login(self, http: requests.Session) -> Granted:
        """One login attempt. Raises ``LoginRefused`` or ``LoginUnavailable``."""
        return request_token(
            http,
            self.token_url,
            {"grant_type": "password", "username": self.username, "password": self.password},
            client=(self.client_id, self.client_secret),
            bearer=self.bearer,
            timeout=self.timeout,
        )

    def rotated(self, refresh_token: str) -> Self:
        """This grant uses no refresh token."""
        return self
