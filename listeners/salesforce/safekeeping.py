"""What goes on beside a login: its lock is held, and what it gave is not lost."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType

from listeners.salesforce.errors import LoginUnavailable
from listeners.salesforce.token_ledger import Ledger, Trouble
from listeners.salesforce.token_store import Kept, TokenStore, TokenStoreUnavailable

_RETRY_SECONDS = 1.0


class Heartbeat:
    """Extends a lock while the login under it takes its time."""

    def __init__(self, store: TokenStore, fence: int, seconds: float) -> None:
        self._store = store
        self._fence = fence
        self._seconds = seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="login lock", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        beaten = False
        while not self._done.wait(self._seconds / 4):
            beaten = True
            with suppress(TokenStoreUnavailable):  # it is tried again before the lock ends
                if not self._store.extend(self._fence, self._seconds):
                    break  # somebody else has it: what is stored under our fence is refused
        if beaten:
            self._store.close()


class Safekeeper:
    """Stores what a login gave; while the store does not answer, it is held here and the lock is
    kept, so that nobody sends the refresh token that this one replaced."""

    def __init__(self, store: TokenStore, ledger: Ledger, seconds: float) -> None:
        self._store = store
        self._ledger = ledger
        self._seconds = seconds
        self._held: Kept | None = None

    @property
    def held(self) -> Kept | None:
        """What is not stored yet."""
        return self._held

    def put(self, fence: int, new: Kept, spent: str) -> bool:
        """Store ``new``, and that the refresh token ``spent`` is used up; False when it is held.

        Raises LoginUnavailable when another process has taken the lock over.
        """
        try:
            self._store_all(fence, new, spent)
        except TokenStoreUnavailable:
            if not spent:
                return True  # the old refresh token, or the credentials, are good for another login
            self._held = new
            threading.Thread(
                target=self._keep_on, args=(fence, new, spent), name="tokens", daemon=True
            ).start()
            return False
        return True

    def _store_all(self, fence: int, new: Kept, spent: str) -> None:
        if not self._store.save(fence, new):
            raise LoginUnavailable("another process took over the login")
        self._ledger.accepted(new.seed)
        if spent:
            self._ledger.spend(spent)

    def _keep_on(self, fence: int, new: Kept, spent: str) -> None:
        pause = threading.Event()
        told = False
        while True:
            try:
                if not told:
                    self._ledger.trouble(Trouble.NOT_STORED)
                    told = True
            except TokenStoreUnavailable:
                pass  # the incident waits for its database
            try:
                self._store.extend(fence, self._seconds)
                self._store_all(fence, new, spent)
                self._ledger.mended(Trouble.NOT_STORED)
                self._store.unlock(fence)
                break
            except LoginUnavailable:
                break  # another process went on with what it had: this pair is no longer the one
            except TokenStoreUnavailable:
                pause.wait(_RETRY_SECONDS)
        self._held = None
        self._store.close()
