"""Threads beside a login: they extend its lock, run it, and store its result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress

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

#: After this many seconds a login has failed, and its lock is no longer extended.
LONGEST_LOGIN = 90.0
_RETRY_SECONDS = 1.0


@contextmanager
def extended_lock(store: TokenStore, fence: int, seconds: float) -> Iterator[None]:
    """Extend the login lock on a separate thread, while the ``with`` block runs."""
    done = threading.Event()

    def extend() -> None:
        ends = time.monotonic() + LONGEST_LOGIN
        has_extended = False
        while not done.wait(seconds / 4) and time.monotonic() < ends:
            has_extended = True
            with suppress(TokenStoreUnavailable):  # retried before the lock ends
                if not store.extend(fence, seconds):
                    break  # another process has the lock, and the store refuses our fence
        if has_extended:
            store.close()

    thread = threading.Thread(target=extend, name="login lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
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
        threading.Thread(
            target=self._keep_on, args=(fence, new, spent), name="tokens", daemon=True
        ).start()
        return False

    def _store_all(self, fence: int, new: StoredTokens, spent: str) -> bool:
        if not self._store.save(fence, new):
            return False
        self._ledger.accepted(new.seed)
        if spent:
            self._ledger.spend(spent)
        return True

    def _keep_on(self, fence: int, new: StoredTokens, spent: str) -> None:
        pause = threading.Event()
        current: int | None = fence
        is_reported = is_done = False
        while not is_done:
            with suppress(TokenStoreUnavailable):  # the incident needs the database
                is_reported = is_reported or self._report()
            with suppress(TokenStoreUnavailable):
                current = self._relocked(current)
                is_done = current is not None and self._is_stored(current, new, spent)
            if not is_done:
                pause.wait(_RETRY_SECONDS)
        self._held = None
        self._store.close()

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
    result: Future[Token] = Future()

    def run() -> None:
        token: Token | None = None
        failure: SalesforceError = LoginUnavailable("the login failed with an unexpected error")
        try:
            token = log_in()
        except SalesforceError as error:
            failure = error
        finally:  # Python prints an unexpected exception of a thread
            close()
            if token is None:
                result.set_exception(failure)
            else:
                result.set_result(token)

    threading.Thread(target=run, name="login", daemon=True).start()
    return result
