"""One login under the lock of its connection: with the refresh token that is due, or anew."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import requests

from listeners.salesforce.errors import AUTHORIZE_AGAIN, LoginRefused, LoginUnavailable
from listeners.salesforce.tokens.store import Kept, Ledger, TokenStore, Trouble, digest
from listeners.salesforce.tokens.tokens import Grant, Granted

#: Longer than a long poll is held: an idle stream passes by here before its token's end.
_AHEAD_SECONDS = 150.0
_SHORTEST_LIFE = 1.0


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a token is taken to live, in seconds, where the login's answer doesn't say."""

    default: float = 3600.0
    clock_skew: float = 0.0

    def of(self, kept: Kept) -> tuple[float, float]:
        """When the token ends, and from when on it is renewed, in seconds since 1970: in the last
        tenth of its life, 150 s at most."""
        told = kept.token.expires_in if kept.token else None
        life = max(_SHORTEST_LIFE, (told or self.default) - self.clock_skew)
        ends = kept.granted_at + life
        return ends, ends - min(_AHEAD_SECONDS, life / 10)


class Login:
    """What a source of tokens does while it holds the lock."""

    def __init__(
        self,
        grant: Grant,
        seed: str,
        store: TokenStore,
        ledger: Ledger,
        *,
        http: requests.Session,
        owner: str,
        now: Callable[[], float],
        is_good: Callable[[Kept], bool],
    ) -> None:
        self._grant = grant
        self._seed = seed
        self._store = store
        self._ledger = ledger
        self._http = http
        self._owner = owner
        self._now = now
        self._is_good = is_good

    def is_marked(self, kept: Kept) -> bool:
        """The refresh token that is due was sent, and what came of it is not known."""
        due = kept.refresh_token or self._grant.refresh_token
        return bool(due) and kept.sending == digest(due)

    def make(self, kept: Kept, fence: int) -> tuple[Kept, str]:
        """What to keep after a login, and the refresh token that it used up."""
        self._ledger.check(self._seed)
        grant = self._grant.with_refresh_token(kept.refresh_token) if kept.refresh_token else None
        try:
            return self._to_keep(*self._sent(grant or self._grant, kept, fence))
        except LoginRefused as refused:
            if not refused.is_final:
                self._ledger.refused(self._seed, str(refused))
            raise

    def _sent(self, grant: Grant, kept: Kept, fence: int) -> tuple[Granted, Grant, Kept]:
        """The answer, the grant that got it, and what of the kept still holds."""
        if not grant.refresh_token:
            return grant.login(self._http), grant, kept
        try:
            return self._refreshed(grant, kept, fence), grant, kept
        except LoginRefused as refused:
            if not refused.ends_refresh_token:
                raise
            kept = self._cleared(grant, kept, fence, refused)
            if self._grant.refresh_token:
                self._ledger.trouble(Trouble.REVOKED)
                refused.is_final = True
                raise
            return self._grant.login(self._http), self._grant, kept

    def _cleared(self, grant: Grant, kept: Kept, fence: int, refused: LoginRefused) -> Kept:
        """Nobody takes the revoked pair up again."""
        if kept.rotates or refused.is_revocation:
            self._ledger.spend(grant.refresh_token)
        kept = Kept(seed=self._seed, rotates=kept.rotates)
        self._store.save(fence, kept)
        return kept

    def _refreshed(self, grant: Grant, kept: Kept, fence: int) -> Granted:
        """One refresh, written down before it is sent: whoever finds this process gone in the
        middle of it knows that the token may be spent."""
        if self._ledger.is_spent(grant.refresh_token):
            raise LoginRefused(
                "this refresh token was used up or revoked before",
                remedy=AUTHORIZE_AGAIN,
                is_final=True,
            )
        was_marked = self.is_marked(kept)
        if was_marked:
            self._found_cut_off(kept)
        marked = replace(
            kept,
            seed=self._seed,
            sending=digest(grant.refresh_token),
            sender=self._owner,
            sent_at=time.time(),
        )
        if not self._store.save(fence, marked):
            raise LoginUnavailable("another process took over the login")
        try:
            return grant.login(self._http)
        except (LoginUnavailable, LoginRefused) as failure:
            if not (was_marked or failure.may_have_worked):
                self._store.save(fence, replace(marked, sending=""))
            raise

    def _found_cut_off(self, kept: Kept) -> None:
        if kept.rotates:
            self._ledger.trouble(Trouble.CUT_OFF)
        if self._is_good(kept):
            # If it is spent, sending it again would revoke this token too: not while it is good.
            raise LoginUnavailable("the last refresh was cut off")

    def _to_keep(self, granted: Granted, grant: Grant, kept: Kept) -> tuple[Kept, str]:
        new = granted.refresh_token or ""
        spent = grant.refresh_token if new and new != grant.refresh_token else ""
        return Kept(
            seed=self._seed,
            token=granted.token,
            granted_at=self._now(),
            refresh_token=new or kept.refresh_token,
            rotates=kept.rotates or bool(spent),
        ), spent
