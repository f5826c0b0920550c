"""The org's clock: the machine's time plus an offset set by the control API."""

import time


class Clock:
    """A clock in epoch milliseconds."""

    def __init__(self) -> None:
        self._ahead_ms = 0

    def machine_now(self) -> int:
        """Return the time of the org's clients, which the control API cannot move."""
        return time.time_ns() // 1_000_000

    def now(self) -> int:
        """Return the org's time."""
        return self.machine_now() + self._ahead_ms

    def advance(self, seconds: float) -> None:
        """Move the org's clock ahead, so that tokens, sessions and events age."""
        self._ahead_ms += int(seconds * 1000)
