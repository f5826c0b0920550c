"""One connection's current token, for any number of threads and processes.

get: is the token good? ── yes ──▶ it             (due soon: a renewal begins beside it)
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
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress

import requests

from listeners.salesforce.errors import LoginRefused, LoginUnavailable
from listeners.salesforce.tokens.login import Lifetime, Login
from listeners.salesforce.tokens.persist import Heartbeat, Renewal, Safekeeper
from listeners.salesforce.tokens.store import (
    Kept,
    Ledger,
    MemoryStore,
    NoLedger,
    TokenStore,
    TokenStoreUnavailable,
    digest,
)
from listeners.salesforce.tokens.tokens import Grant, Token

#: One that lives extends its lock.
LOCK_SECONDS = 10.0
#: How many locks' time whoever has sent a refresh token is given to say what came of it.
_GRACE_LOCKS = 4
_LOOK_SECONDS = 0.05
#: How long to wait for another process' login: it may have to wait for its time-outs.
WAIT_SECONDS = 60.0
#: After a renewal ahead of time that failed, while the token still is good.
AHEAD_PAUSE_SECONDS = 15.0
_REMEMBERED = 20


class TokenSource:
    """Thread-safe. Across processes that share a store one logs in at a time, the others wait
    for it and take its token; a rotated refresh token is stored before it is sent.

    How often to try again is the caller's business, within what the ledger allows.
    """

    def __init__(
        self,
        grant: Grant,
        *,
        seed: str = "configured",
        store: TokenStore | None = None,
        former_stores: Sequence[TokenStore] = (),
        ledger: Ledger | None = None,
        lifetime: Lifetime | None = None,
        http: requests.Session | None = None,
        now: Callable[[], float] = time.time,
        lock_seconds: float = LOCK_SECONDS,
        anew: bool = False,
    ) -> None:
        """``seed`` changes with the credentials: tokens got with others are not used.

        ``former_stores`` may hold a rotated refresh token from before the store was changed.
        ``lock_seconds``: who was killed while it logged in is replaced after this long. ``anew``:
        the first token comes from a login, whatever the store holds.
        """
        self._seed = seed
        self._lifetime = lifetime or Lifetime()
        self._store = store or MemoryStore()
        self._former_stores = former_stores
        self._ledger = ledger or NoLedger()
        self._owner = uuid.uuid4().hex
        self._now = now
        self._lock_seconds = lock_seconds
        self._anew = anew
        self._guard = threading.Lock()  # never held while waiting
        self._kept = Kept()
        self._refused: dict[str, float] = {}
        self._not_ahead_before = 0.0
        self._renewal: Renewal | None = None
        self._safekeeper = Safekeeper(self._store, self._ledger, self._owner, lock_seconds)
        self._login = Login(
            grant,
            seed,
            self._store,
            self._ledger,
            http=http or requests.Session(),
            owner=self._owner,
            now=now,
            is_good=self._is_good,
        )

    def get(self) -> Token:
        """The token to use now. One that is good is given at once; near its end it is renewed
        meanwhile.

        Raises ``LoginRefused``, ``LoginUnavailable`` or ``TokenStoreUnavailable``.
        """
        with self._guard:
            token = self._good(self._kept)
            if token is not None and not self._is_due(self._kept):
                return token
            if self._renewal is None or self._renewal.is_over:
                self._renewal = Renewal(self._renewed, self._store.close)
            renewal = self._renewal
        return token or renewal.token()

    def invalidate(self, token: Token) -> None:
        """Salesforce refused ``token``: it is not given out again, unless a later login gives the
        same once more; a newer one stays."""
        with self._guard:
            mark = digest(token.access_token)
            same = self._kept.token is not None and self._kept.token == token
            self._refused[mark] = self._kept.granted_at if same else self._now()
            while len(self._refused) > _REMEMBERED:
                del self._refused[next(iter(self._refused))]

    def settle(self, seconds: float) -> None:
        """Wait for a login that is under way: what it gives is stored then."""
        with self._guard:
            renewal = self._renewal
        if renewal is not None:
            renewal.wait(seconds)

    # What is good

    def _good(self, kept: Kept) -> Token | None:
        """The kept token, if it is these credentials', not refused and not at its end."""
        token = kept.token
        if token is None or kept.seed != self._seed or self._now() >= self._lifetime.of(kept)[0]:
            return None
        refused_of = self._refused.get(digest(token.access_token))
        return None if refused_of is not None and kept.granted_at <= refused_of else token

    def _is_good(self, kept: Kept) -> bool:
        with self._guard:
            return self._good(kept) is not None

    def _is_due(self, kept: Kept) -> bool:
        now = self._now()
        return now >= self._lifetime.of(kept)[1] and now >= self._not_ahead_before

    def _adopted(self, kept: Kept) -> Token | None:
        """Take ``kept`` over if it is good; its token unless it is due for renewal."""
        with self._guard:
            token = self._good(kept)
            if token is None or self._anew:
                return None
            self._kept = kept
            return None if self._now() >= self._lifetime.of(kept)[1] else token

    # The renewal, on its thread

    def _renewed(self) -> Token:
        try:
            return self._taken_or_granted()
        except LoginRefused:
            self._not_ahead_before = self._lifetime.of(self._kept)[0]
            raise
        except LoginUnavailable as unavailable:
            pause = max(AHEAD_PAUSE_SECONDS, unavailable.retry_after or 0.0)
            self._not_ahead_before = self._now() + pause
            raise

    def _taken_or_granted(self) -> Token:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            kept = self._safekeeper.held or self._store.load(self._seed)
            if token := self._adopted(kept):
                return token
            fence = self._store.lock(self._owner, self._lock_seconds)
            if fence is not None and (token := self._under_lock(fence)):
                return token
            if time.monotonic() > deadline:
                raise LoginUnavailable("another process has been logging in for a minute")
            time.sleep(_LOOK_SECONDS if fence is None else 10 * _LOOK_SECONDS)

    def _under_lock(self, fence: int) -> Token | None:
        """None while it is not known what came of another process' refresh."""
        is_stored = True
        try:
            with Heartbeat(self._store, fence, self._lock_seconds):
                stored = self._store.load(self._seed)
                if token := self._adopted(stored):
                    return token
                basis = self._basis(stored)
                if self._is_unsettled(basis):
                    return None
                new, spent = self._login.make(basis, fence)
                is_stored = self._safekeeper.put(fence, new, spent)
        finally:
            if is_stored:
                with suppress(TokenStoreUnavailable):  # then it runs out
                    self._store.unlock(fence)
        with self._guard:
            self._kept = new
            self._anew = False
        return new.token

    def _basis(self, stored: Kept) -> Kept:
        """What the next login goes on from: of what is known here and there, the refresh token
        that is not spent. A store that forgot everything is no reason to forget it."""
        if held := self._safekeeper.held:
            return held
        for kept in (stored, self._kept, *map(self._formerly, self._former_stores)):
            is_ours = kept.seed == self._seed and kept.refresh_token
            if is_ours and not self._ledger.is_spent(kept.refresh_token):
                return kept
        return stored if stored.seed else Kept(self._seed)

    def _formerly(self, store: TokenStore) -> Kept:
        try:
            return store.load(self._seed)
        except TokenStoreUnavailable:
            return Kept()

    def _is_unsettled(self, kept: Kept) -> bool:
        """Another process has sent the refresh token that is due, and may yet store what it got."""
        if not self._login.is_marked(kept) or kept.sender == self._owner:
            return False
        return time.time() - kept.sent_at < _GRACE_LOCKS * self._lock_seconds
