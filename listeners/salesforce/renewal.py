"""A login on a thread of its own, which whoever needs the token waits for.

Who waits can be interrupted, by a time limit or a signal, or hold a database transaction that is
rolled back; what a login gives must not be lost with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from listeners.salesforce.errors import LoginUnavailable, SalesforceError
from listeners.salesforce.tokens import Token


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
