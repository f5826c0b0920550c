"""Threads beside a login: they extend its lock, run it, and store its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress

import structlog

from listeners.backoff import Backoff
from listeners.salesforce.errors import LoginUnavailable, SalesforceError
from listeners.salesforce.tokens.store import (
    Ledger,
    StoredTokens,
    TokenStore,
    TokenStoreUnavailable,
    Trouble,
    digest,
)
from listeners.salesforce.tokens.tokens import Token
from listeners.threads import OVER, BackgroundThread, Step, call_in_thread

log = structlog.get_logger(__name__)

#: After this many seconds a login has failed, and its lock is no longer extended.
LONGEST_LOGIN = 90.0
_RETRY_SECONDS = 1.0


@contextmanager
def extended_lock(store: TokenStore, fence: int, seconds: float) -> Iterator[None]:
    """Extend the login lock on a separate thread, while the ``with`` block runs."""
    ends = time.monotonic() + LONGEST_LOGIN
    used: list[bool] = []

    def extend() -> object:
        if time.monotonic() >= ends:
            return OVER
        used.append(True)
        # If another process has the lock, the store refuses our fence.
        return None if store.extend(fence, seconds) else OVER

    extending = Step(
        "login lock",
        extend,
        consequence="Another process may log in at the same time.",
        expected=(TokenStoreUnavailable,),  # retried before the lock ends
        backoff=Backoff(seconds / 16, seconds / 8),
    )
    thread = BackgroundThread(
        extending, every=seconds / 4, finish=lambda: store.close() if used else None
    )
    thread.start()
    try:
        yield
    finally:
        thread.stop()
        thread.join()


class Safekeeper:
    """Stores the result of a login; while the store is unavailable, holds it and retries."""

    def __init__(self, store: TokenStore, ledger: Ledger, owner: str, seconds: float) -> None:
        self._store = store
        self._ledger = ledger
        self._owner = owner
        self._seconds = seconds
        self._held: StoredTokens | None = None

    @property
    def held(self) -> StoredTokens | None:
        """The tokens that are not stored yet."""
        return self._held

    def put(self, fence: int, new: StoredTokens, spent: str) -> bool:
        """Store the tokens ``new``, and note that the refresh token ``spent`` was used.

        Return False if the tokens are held for a retry. The lock is then kept, so that no other
        process sends the spent token. Tokens that another login can replace are not held.
        """
        try:
            if self._store_all(fence, new, spent) or not spent:
                return True
        except TokenStoreUnavailable:
            if not spent:
                return True
        self._held = new
        self._store_later(fence, new, spent)
        return False

    def _store_all(self, fence: int, new: StoredTokens, spent: str) -> bool:
        if not self._store.save(fence, new):
            return False
        self._ledger.accepted(new.seed)
        if spent:
            self._ledger.spend(spent)
        return True

    def _store_later(self, fence: int, new: StoredTokens, spent: str) -> None:
        current: int | None = fence
        is_reported = False

        def store() -> object:
            nonlocal current, is_reported
            with suppress(TokenStoreUnavailable):  # the incident needs the database
                is_reported = is_reported or self._report()
            current = self._relocked(current)
            if current is None or not self._is_stored(current, new, spent):
                return None
            self._held = None
            return OVER

        storing = Step(
            "tokens",
            store,
            consequence="A new refresh token is only in the memory of one process.",
            expected=(TokenStoreUnavailable,),
            backoff=Backoff(_RETRY_SECONDS, _RETRY_SECONDS, jitter=0),
        )
        BackgroundThread(storing, every=_RETRY_SECONDS, finish=self._store.close).start()

    def _report(self) -> bool:
        self._ledger.trouble(Trouble.NOT_STORED)
        return True

    def _relocked(self, fence: int | None) -> int | None:
        """Extend the lock or take a new one, and return its fence; None if it is not free."""
        if fence is not None and self._store.extend(fence, self._seconds):
            return fence
        return self._store.lock(self._owner, self._seconds)

    def _is_stored(self, fence: int, new: StoredTokens, spent: str) -> bool:
        """Store the tokens unless the store has newer ones; False if the lock was lost."""
        stored = self._store.load(new.seed)
        is_newest = stored.sending == digest(spent) or stored.refresh_token in ("", spent)
        if is_newest and not self._store_all(fence, new, spent):
            return False
        self._ledger.mended(Trouble.NOT_STORED)
        self._store.unlock(fence)
        return True


def logging_in(log_in: Callable[[], Token], close: Callable[[], None]) -> Future[Token]:
    """Start a login on its own thread, and return a future of its token.

    ``close`` releases the thread's resources after the login.
    """

    def run() -> Token:
        try:
            return log_in()
        except SalesforceError:
            raise
        except Exception as error:
            log.exception("unexpected error", thread="login")
            raise LoginUnavailable("the login failed with an unexpected error") from error
        finally:
            close()

    return call_in_thread("login", run)
