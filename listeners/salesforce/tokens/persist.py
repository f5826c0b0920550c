"""What goes on beside a login: its lock is held, and what it gave is not lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from listeners.salesforce.errors import LoginUnavailable, SalesforceError
from listeners.salesforce.tokens.store import (
    Kept,
    Ledger,
    TokenStore,
    TokenStoreUnavailable,
    Trouble,
    digest,
)
from listeners.salesforce.tokens.tokens import Token

#: A login that takes longer than this has come to nothing, whatever it still waits for.
LONGEST_LOGIN = 90.0
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
        ends = time.monotonic() + LONGEST_LOGIN
        beaten = False
        while not self._done.wait(self._seconds / 4) and time.monotonic() < ends:
            beaten = True
            with suppress(TokenStoreUnavailable):  # it is tried again before the lock ends
                if not self._store.extend(self._fence, self._seconds):
                    break  # somebody else has it: what is stored under our fence is refused
        if beaten:
            self._store.close()


class Safekeeper:
    """Stores what a login gave; while that cannot be done, it is held here and stored later."""

    def __init__(self, store: TokenStore, ledger: Ledger, owner: str, seconds: float) -> None:
        self._store = store
        self._ledger = ledger
        self._owner = owner
        self._seconds = seconds
        self._held: Kept | None = None

    @property
    def held(self) -> Kept | None:
        """What is not stored yet."""
        return self._held

    def put(self, fence: int, new: Kept, spent: str) -> bool:
        """Store ``new``, and that the refresh token ``spent`` is used up.

        False when it is held: then the lock is kept, so that nobody sends what is spent. What can
        be had again by another login is not held.
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

    def _store_all(self, fence: int, new: Kept, spent: str) -> bool:
        if not self._store.save(fence, new):
            return False
        self._ledger.accepted(new.seed)
        if spent:
            self._ledger.spend(spent)
        return True

    def _keep_on(self, fence: int, new: Kept, spent: str) -> None:
        pause = threading.Event()
        current: int | None = fence
        told = ended = False
        while not ended:
            with suppress(TokenStoreUnavailable):  # the incident waits for its database
                told = told or self._tell()
            with suppress(TokenStoreUnavailable):
                current = self._retaken(current)
                ended = current is not None and self._settled(current, new, spent)
            if not ended:
                pause.wait(_RETRY_SECONDS)
        self._held = None
        self._store.close()

    def _tell(self) -> bool:
        self._ledger.trouble(Trouble.NOT_STORED)
        return True

    def _retaken(self, fence: int | None) -> int | None:
        """The lock, held on to or taken anew; None while another process has it."""
        if fence is not None and self._store.extend(fence, self._seconds):
            return fence
        return self._store.lock(self._owner, self._seconds)

    def _settled(self, fence: int, new: Kept, spent: str) -> bool:
        """Whether nothing is left to do: it is stored, or others have gone past it."""
        stored = self._store.load(new.seed)
        is_due = stored.sending == digest(spent) or stored.refresh_token in ("", spent)
        if is_due and not self._store_all(fence, new, spent):
            return False
        self._ledger.mended(Trouble.NOT_STORED)
        self._store.unlock(fence)
        return True


class Renewal:
    """Begins at once."""

    def __init__(self, log_in: Callable[[], Token], close: Callable[[], None]) -> None:
        """``close`` releases what the thread held."""
        self._log_in = log_in
        self._close = close
        self._over = threading.Event()
        self._token: Token | None = None
        self.failure: SalesforceError | None = None
        threading.Thread(target=self._run, name="login", daemon=True).start()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        return self._over.wait(seconds)

    def token(self) -> Token:
        """Waits for it. Raises what the login raised."""
        self._over.wait()
        if self.failure is not None:
            raise self.failure
        if self._token is None:  # an unforeseen exception, reported by its thread
            raise LoginUnavailable("the login broke off")
        return self._token

    def _run(self) -> None:
        try:
            self._token = self._log_in()
        except SalesforceError as failure:
            self.failure = failure
        finally:
            self._close()
            self._over.set()
