"""A login with settings that are not saved: nothing of it is kept where listeners look."""

from __future__ import annotations

from listeners.logins import seed_of, token_source
from listeners.models import Connection, SpentToken
from listeners.salesforce.token_ledger import NoLedger
from listeners.salesforce.token_store import digest
from listeners.salesforce.tokens import Tokens
from listeners.token_stores.answered import answered
from listeners.token_stores.memory import ProcessStore


class TrialLedger(NoLedger):
    """Writes nothing down, and knows what any connection has used up."""

    def is_spent(self, refresh_token: str) -> bool:
        mark = digest(refresh_token)
        return super().is_spent(refresh_token) or answered(
            SpentToken.objects.filter(digest=mark).exists
        )


class TrialLogin:
    """The tokens live and end with it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._store = ProcessStore()

    def tokens(self, api_version: str) -> Tokens:
        """Raises SecretUnavailable and ClientFileMissing."""
        return token_source(self._connection, api_version, apart=(self._store, TrialLedger()))

    def successor(self) -> str:
        """The refresh token that took the place of the connection's, which this login used up;
        empty where that one goes on."""
        if self._connection.auth != Connection.Auth.REFRESH_TOKEN:
            return ""
        kept = self._store.load(seed_of(self._connection)).refresh_token
        return "" if kept == self._connection.refresh_token.reveal() else kept
