"""One connection's current token, for any number of threads and processes.

get: is the token good? ── yes ──▶ it
         │ no
         ▼
is the stored one good? ── yes ──▶ it
         │ no
         ▼
lock ▸ look again ▸ log in ▸ store ▸ unlock        (who finds it locked waits, and looks again)
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import requests

from listeners.salesforce.errors import (
    AUTHORIZE_AGAIN,
    LoginRefused,
    LoginUnavailable,
    SalesforceError,
)
from listeners.salesforce.safekeeping import Heartbeat, Safekeeper
from listeners.salesforce.token_ledger import Ledger, NoLedger, Trouble
from listeners.salesforce.token_store import (
    Kept,
    MemoryStore,
    TokenStore,
    TokenStoreUnavailable,
    digest,
)
from listeners.salesforce.tokens import Grant, Granted, Token

#: One that lives extends its lock.
LOCK_SECONDS = 10.0
_LOOK_SECONDS = 0.05
#: How long to wait for another process' login: it may have to wait for its time-outs.
WAIT_SECONDS = 60.0
#: After a renewal ahead of time that failed, while the token still is good.
AHEAD_PAUSE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a token is taken to live, in seconds, where the login's answer doesn't say."""

    default: float = 3600.0
    clock_skew: float = 0.0

    def of(self, token: Token, now: float) -> tuple[float, float]:
        """(expires_at, renew_at): renewed in the last tenth of its life, a minute at most."""
        life = max(0.0, (token.expires_in or self.default) - self.clock_skew)
        return now + life, now + life - min(60.0, life / 10)


class TokenSource:
    """Thread-safe. Across processes that share a store one logs in at a time, the others wait
    for it and take its token; a rotated refresh token is stored before it is sent.

    How often to try again is the caller's business, within what the ledger allows.
    """

    def __init__(
        self,
        grant: Grant,
        *,
        seed: str = "",
        store: TokenStore | None = None,
        ledger: Ledger | None = None,
        lifetime: Lifetime | None = None,
        http: requests.Session | None = None,
        owner: str = "",
        now: Callable[[], float] = time.time,
        lock_seconds: float = LOCK_SECONDS,
    ) -> None:
        """``seed`` changes with the credentials: tokens got with others are not used.

        ``lock_seconds``: who was killed while it logged in is replaced after this long.
        """
        self._grant = grant
        self._seed = seed
        self._store = store or MemoryStore()
        self._ledger = ledger or NoLedger()
        self._lifetime = lifetime or Lifetime()
        self._http = http or requests.Session()
        self._owner = owner
        self._now = now
        self._lock_seconds = lock_seconds
        self._lock = threading.Lock()
        self._kept = Kept()
        self._refused: deque[str] = deque(maxlen=20)
        self._not_ahead_before = 0.0
        self._safekeeper = Safekeeper(self._store, self._ledger, lock_seconds)

    def get(self) -> Token:
        """The token to use now, renewed ahead of its end.

        Raises ``LoginRefused``, ``LoginUnavailable`` or ``TokenStoreUnavailable``.
        """
        with self._lock:
            if token := self._good(self._kept, ahead=True):
                return token
            try:
                return self._renewed()
            except SalesforceError:
                token = self._good(self._kept)
                if token is None:
                    raise
                self._not_ahead_before = self._now() + AHEAD_PAUSE_SECONDS
                return token

    def invalidate(self, token: Token) -> None:
        """Salesforce refused ``token``: it is not given out again; a newer one stays."""
        with self._lock:
            self._refused.append(digest(token.access_token))

    def _good(self, kept: Kept, *, ahead: bool = False) -> Token | None:
        """The kept token, if it is these credentials', not refused and not at its end."""
        token, now = kept.token, self._now()
        if token is None or kept.seed != self._seed or now >= kept.expires_at:
            return None
        if digest(token.access_token) in self._refused:
            return None
        due = ahead and now >= kept.renew_at and now >= self._not_ahead_before
        return None if due else token

    def _adopted(self, kept: Kept) -> Token | None:
        """Take ``kept`` over if it is good; its token unless it is due for renewal."""
        if self._good(kept):
            self._kept = kept
        return self._good(kept, ahead=True)

    def _renewed(self) -> Token:
        if (held := self._safekeeper.held) and (token := self._adopted(held)):
            return token
        patience = time.monotonic() + WAIT_SECONDS
        while True:
            if token := self._adopted(self._store.load()):
                return token
            fence = self._store.lock(self._owner, self._lock_seconds)
            if fence is not None:
                return self._under_lock(fence)
            if token := self._good(self._kept):
                return token  # whoever holds the lock renews it
            if time.monotonic() > patience:
                raise LoginUnavailable("another process has been logging in for a minute")
            time.sleep(_LOOK_SECONDS)

    def _under_lock(self, fence: int) -> Token:
        is_stored = True
        try:
            with Heartbeat(self._store, fence, self._lock_seconds):
                kept = self._store.load()
                if token := self._adopted(kept):
                    return token
                new, spent = self._logged_in(self._basis(kept), fence)
                is_stored = self._safekeeper.put(fence, new, spent)
        finally:
            if is_stored:
                with suppress(TokenStoreUnavailable):  # then it runs out
                    self._store.unlock(fence)
        self._kept = new
        return self._token_of(new)

    def _basis(self, stored: Kept) -> Kept:
        """What the next login goes on from. A store that forgot everything is no reason to forget
        the refresh token here; whether it was spent meanwhile, the ledger knows."""
        if stored.seed == self._seed:
            return stored
        return self._kept if not stored.seed and self._kept.seed == self._seed else Kept()

    @staticmethod
    def _token_of(kept: Kept) -> Token:
        if kept.token is None:
            raise LoginUnavailable("the login gave no token")
        return kept.token

    # The login, under the lock

    def _logged_in(self, kept: Kept, fence: int) -> tuple[Kept, str]:
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
            self._ledger.spend(grant.refresh_token)
            kept = Kept(seed=self._seed, rotates=kept.rotates)
            self._store.save(fence, kept)  # nobody takes the revoked pair up again
            if self._grant.refresh_token:
                self._ledger.trouble(Trouble.REVOKED)
                refused.is_final = True
                raise
            return self._grant.login(self._http), self._grant, kept

    def _refreshed(self, grant: Grant, kept: Kept, fence: int) -> Granted:
        """One refresh, written down before it is sent: whoever finds this process gone in the
        middle of it knows that the token may be spent."""
        if self._ledger.is_spent(grant.refresh_token):
            raise LoginRefused(
                "this refresh token was used up or revoked before",
                remedy=AUTHORIZE_AGAIN,
                is_final=True,
            )
        mark = digest(grant.refresh_token)
        if kept.sending == mark:
            self._found_cut_off(kept)
        if not self._store.save(fence, replace(kept, seed=self._seed, sending=mark)):
            raise LoginUnavailable("another process took over the login")
        try:
            return grant.login(self._http)
        except LoginUnavailable as unavailable:
            if not unavailable.may_have_worked:
                self._store.save(fence, replace(kept, seed=self._seed, sending=""))
            raise

    def _found_cut_off(self, kept: Kept) -> None:
        if kept.rotates:
            self._ledger.trouble(Trouble.CUT_OFF)
        if self._good(kept):
            # If it is spent, sending it again would revoke this token too: not while it is good.
            raise LoginUnavailable("the last refresh was cut off")

    def _to_keep(self, granted: Granted, grant: Grant, kept: Kept) -> tuple[Kept, str]:
        expires_at, renew_at = self._lifetime.of(granted.token, self._now())
        new = granted.refresh_token or ""
        spent = grant.refresh_token if new != grant.refresh_token and new else ""
        return Kept(
            seed=self._seed,
            token=granted.token,
            expires_at=expires_at,
            renew_at=renew_at,
            refresh_token=new or kept.refresh_token,
            rotates=kept.rotates or bool(spent),
        ), spent
