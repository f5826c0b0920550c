"""OAuth client credentials: the connected app logs in as its run-as user."""

from __future__ import annotations

from dataclasses import dataclass

import requests

from listeners.salesforce.auth.endpoint import OAuthGrant
from listeners.salesforce.tokens.tokens import LoginResult


@dataclass(frozen=True, slots=True)
class ClientCredentials(OAuthGrant):
    """The grant. ``token_url`` must be on the org's own domain: Salesforce refuses it elsewhere."""

    def login(self, http: requests.Session) -> LoginResult:
        return LoginResult(self.request(http, {"grant_type": "client_credentials"}).token)
