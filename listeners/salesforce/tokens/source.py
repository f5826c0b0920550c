"""The current token of a connection, shared by threads and processes.

get: is the cached token valid? ── yes ──▶ return it    (near its end: renew in the background)
         │ no
         ▼
is the stored token valid? ── yes ──▶ return it
         │ no
         ▼
lock ▸ check again ▸ log in ▸ store ▸ unlock            (if locked: wait, and check again)
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent import futures
from concurrent.futures import Future
from contextlib import suppress

import requests

from listeners.salesforce.errors import LoginRefused, LoginUnavailable
from listeners.salesforce.tokens.login import Lifetime, Login
from listeners.salesforce.tokens.persist import Safekeeper, extended_lock, logging_in
from listeners.salesforce.tokens.store import (
    Ledger,
    MemoryLedger,
    MemoryStore,
    StoredTokens,
    TokenStore,
    TokenStoreUnavailable,
    digest,
)
from listeners.salesforce.tokens.tokens import Grant, Token

#: The length of the login lock, which a running process extends.
LOCK_SECONDS = 10.0
#: After so many lock lengths, a process that sent a refresh token without a result counts as dead.
_GRACE_LOCKS = 4
_POLL_SECONDS = 0.05
#: How long to wait for another process's login, which may take as long as its time-outs.
WAIT_SECONDS = 60.0
#: The pause after a failed early renewal, while the token is still valid.
AHEAD_PAUSE_SECONDS = 15.0
_MOST_REFUSED = 20


class TokenSource:
    """Thread-safe source of a connection's token.

    Of the processes that share a store, one at a time logs in; the others wait and use its token. A
    rotated refresh token is stored before it is sent. The caller decides when to retry, within the
    limits of the ledger.
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
        must_log_in: bool = False,
    ) -> None:
        """``seed`` changes with the credentials: tokens of other credentials are not used.

        ``former_stores`` may contain a rotated refresh token from before the store was changed.
        ``lock_seconds``: how long a killed process blocks other logins. ``must_log_in``: get the
        first token from a login, even if the store has a valid one.
        """
        self._seed = seed
        self._lifetime = lifetime or Lifetime()
        self._store = store or MemoryStore()
        self._former_stores = former_stores
        self._ledger = ledger or MemoryLedger()
        self._owner = uuid.uuid4().hex
        self._now = now
        self._lock_seconds = lock_seconds
        self._must_log_in = must_log_in
        self._guard = threading.Lock()  # never held while waiting
        self._kept = StoredTokens()
        self._refused: dict[str, float] = {}
        self._no_early_renewal_before = 0.0
        self._renewal: Future[Token] | None = None
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
        """Return the current token; near its end, also start a renewal in the background.

        Raises ``LoginRefused``, ``LoginUnavailable`` or ``TokenStoreUnavailable``.
        """
        with self._guard:
            token = self._good(self._kept)
            if token is not None and not self._is_due(self._kept):
                return token
            if self._renewal is None or self._renewal.done():
                self._renewal = logging_in(self._renewed, self._store.close)
            renewal = self._renewal
        return token or renewal.result()

    def invalidate(self, token: Token) -> None:
        """Do not return ``token`` again, because Salesforce refused it.

        A newer token stays valid, and so does the same token from a later login.
        """
        with self._guard:
            mark = digest(token.access_token)
            same = self._kept.token is not None and self._kept.token == token
            self._refused[mark] = self._kept.granted_at if same else self._now()
            while len(self._refused) > _MOST_REFUSED:
                del self._refused[next(iter(self._refused))]

    def settle(self, seconds: float) -> None:
        """Wait for a running login, at most ``seconds``, so that its result is stored."""
        with self._guard:
            renewal = self._renewal
        if renewal is not None:
            futures.wait([renewal], seconds)

    # Validity

    def _good(self, kept: StoredTokens) -> Token | None:
        """Return the token if it is for these credentials, not refused and not expired."""
        token = kept.token
        if token is None or kept.seed != self._seed or self._now() >= self._lifetime.of(kept)[0]:
            return None
        refused_of = self._refused.get(digest(token.access_token))
        return None if refused_of is not None and kept.granted_at <= refused_of else token

    def _is_good(self, kept: StoredTokens) -> bool:
        with self._guard:
            return self._good(kept) is not None

    def _is_due(self, kept: StoredTokens) -> bool:
        now = self._now()
        return now >= self._lifetime.of(kept)[1] and now >= self._no_early_renewal_before

    def _adopted(self, kept: StoredTokens) -> Token | None:
        """Cache ``kept`` if its token is valid; return the token unless it must be renewed."""
        with self._guard:
            token = self._good(kept)
            if token is None or self._must_log_in:
                return None
            self._kept = kept
            return None if self._now() >= self._lifetime.of(kept)[1] else token

    # The renewal, on its thread

    def _renewed(self) -> Token:
        try:
            return self._stored_or_new()
        except LoginRefused:
            self._no_early_renewal_before = self._lifetime.of(self._kept)[0]
            raise
        except LoginUnavailable as unavailable:
            pause = max(AHEAD_PAUSE_SECONDS, unavailable.retry_after or 0.0)
            self._no_early_renewal_before = self._now() + pause
            raise

    def _stored_or_new(self) -> Token:
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
            time.sleep(_POLL_SECONDS if fence is None else 10 * _POLL_SECONDS)

    def _under_lock(self, fence: int) -> Token | None:
        """Log in, and return the token; None while the outcome of another refresh is unknown."""
        is_stored = True
        try:
            with extended_lock(self._store, fence, self._lock_seconds):
                stored = self._store.load(self._seed)
                if token := self._adopted(stored):
                    return token
                basis = self._basis(stored)
                if self._is_unsettled(basis):
                    return None
                new, spent = self._login.log_in(basis, fence)
                is_stored = self._safekeeper.put(fence, new, spent)
        finally:
            if is_stored:
                with suppress(TokenStoreUnavailable):  # the lock then expires
                    self._store.unlock(fence)
        with self._guard:
            self._kept = new
            self._must_log_in = False
        return new.token

    def _basis(self, stored: StoredTokens) -> StoredTokens:
        """Return the stored values for the next login, with a refresh token that is not spent.

        Searches the store, this process's cache, and former stores: a store may have lost its data.
        """
        if held := self._safekeeper.held:
            return held
        for kept in (stored, self._kept, *map(self._in_former_store, self._former_stores)):
            is_ours = kept.seed == self._seed and kept.refresh_token
            if is_ours and not self._ledger.is_spent(kept.refresh_token):
                return kept
        return stored if stored.seed else StoredTokens(self._seed)

    def _in_former_store(self, store: TokenStore) -> StoredTokens:
        try:
            return store.load(self._seed)
        except TokenStoreUnavailable:
            return StoredTokens()

    def _is_unsettled(self, kept: StoredTokens) -> bool:
        """Return whether another process has sent the token and may still store a result."""
        if not self._login.is_marked(kept) or kept.sender == self._owner:
            return False
        return time.time() - kept.sent_at < _GRACE_LOCKS * self._lock_seconds
