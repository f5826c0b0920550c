"""A login while holding the connection's login lock, with a refresh token or with credentials."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import requests

from listeners.salesforce.errors import AUTHORIZE_AGAIN, LoginRefused, LoginUnavailable
from listeners.salesforce.tokens.store import Ledger, StoredTokens, TokenStore, Trouble, digest
from listeners.salesforce.tokens.tokens import Grant, LoginResult

#: Longer than a long poll is held, so that an idle stream renews its token before it expires.
_AHEAD_SECONDS = 150.0
_SHORTEST_LIFE = 1.0


@dataclass(frozen=True, slots=True)
class Lifetime:
    """The assumed lifetime of tokens, in seconds, if the login's answer does not contain it."""

    default: float = 3600.0
    clock_skew: float = 0.0

    def of(self, kept: StoredTokens) -> tuple[float, float]:
        """Return when the token expires, and from when to renew it, in seconds since 1970.

        It is renewed in the last tenth of its lifetime, but at most 150 s before it expires.
        """
        expires_in = kept.token.expires_in if kept.token else None
        life = max(_SHORTEST_LIFE, (expires_in or self.default) - self.clock_skew)
        ends = kept.granted_at + life
        return ends, ends - min(_AHEAD_SECONDS, life / 10)


@dataclass(frozen=True, slots=True)
class Login:
    """Logs in for a TokenSource that holds the login lock."""

    grant: Grant
    seed: str
    store: TokenStore
    ledger: Ledger
    http: requests.Session
    owner: str
    now: Callable[[], float]
    is_good: Callable[[StoredTokens], bool]

    def is_marked(self, kept: StoredTokens) -> bool:
        """Return whether the current refresh token was sent, and the outcome is not known."""
        current = kept.refresh_token or self.grant.refresh_token
        return bool(current) and kept.sending == digest(current)

    def log_in(self, kept: StoredTokens, fence: int) -> tuple[StoredTokens, str]:
        """Log in, and return what to store and the refresh token that the login spent."""
        self.ledger.check(self.seed)
        grant = self.grant.with_refresh_token(kept.refresh_token) if kept.refresh_token else None
        try:
            return self._tokens_to_store(*self._sent(grant or self.grant, kept, fence))
        except LoginRefused as refused:
            if not refused.is_final:
                self.ledger.refused(self.seed, str(refused))
            raise

    def _sent(
        self, grant: Grant, kept: StoredTokens, fence: int
    ) -> tuple[LoginResult, Grant, StoredTokens]:
        """Return the answer, the grant that was used, and the still valid stored values."""
        if not grant.refresh_token:
            return grant.login(self.http), grant, kept
        try:
            return self._refreshed(grant, kept, fence), grant, kept
        except LoginRefused as refused:
            if not refused.ends_refresh_token:
                raise
            kept = self._cleared(grant, kept, fence, refused)
            if self.grant.refresh_token:
                self.ledger.trouble(Trouble.REVOKED)
                refused.is_final = True
                raise
            return self.grant.login(self.http), self.grant, kept

    def _cleared(
        self, grant: Grant, kept: StoredTokens, fence: int, refused: LoginRefused
    ) -> StoredTokens:
        """Remove the revoked token from the store, and return the new stored values."""
        if kept.rotates or refused.is_revocation:
            self.ledger.spend(grant.refresh_token)
        kept = StoredTokens(seed=self.seed, rotates=kept.rotates)
        self.store.save(fence, kept)
        return kept

    def _refreshed(self, grant: Grant, kept: StoredTokens, fence: int) -> LoginResult:
        """Refresh once. The attempt is stored before it is sent.

        If this process is killed, other processes then know that the token may be spent.
        """
        if self.ledger.is_spent(grant.refresh_token):
            raise LoginRefused(
                "this refresh token was already used or revoked",
                remedy=AUTHORIZE_AGAIN,
                is_final=True,
            )
        was_marked = self.is_marked(kept)
        if was_marked:
            self._report_interrupted_refresh(kept)
        marked = replace(
            kept,
            seed=self.seed,
            sending=digest(grant.refresh_token),
            sender=self.owner,
            sent_at=time.time(),
        )
        if not self.store.save(fence, marked):
            raise LoginUnavailable("another process took over the login")
        try:
            return grant.login(self.http)
        except (LoginUnavailable, LoginRefused) as failure:
            if not (was_marked or failure.may_have_worked):
                self.store.save(fence, replace(marked, sending=""))
            raise

    def _report_interrupted_refresh(self, kept: StoredTokens) -> None:
        """Open an incident if the token may be spent. Raises LoginUnavailable while the access
        token is good."""
        if kept.rotates:
            self.ledger.trouble(Trouble.CUT_OFF)
        if self.is_good(kept):
            # If the refresh token is spent, sending it again would also revoke the access token.
            raise LoginUnavailable("the last refresh was interrupted")

    def _tokens_to_store(
        self, granted: LoginResult, grant: Grant, kept: StoredTokens
    ) -> tuple[StoredTokens, str]:
        new = granted.refresh_token or ""
        spent = grant.refresh_token if new and new != grant.refresh_token else ""
        return StoredTokens(
            seed=self.seed,
            token=granted.token,
            granted_at=self.now(),
            refresh_token=new or kept.refresh_token,
            rotates=kept.rotates or bool(spent),
        ), spent
