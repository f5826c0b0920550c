"""The org's clock: the machine's, plus what the control API has moved it ahead."""

import time


class Clock:
    """Epoch milliseconds."""

    def __init__(self) -> None:
        self._ahead_ms = 0

    def machine_now(self) -> int:
        """What time it is for the org's clients, whose clocks the control API cannot move."""
        return time.time_ns() // 1_000_000

    def now(self) -> int:
        """What time it is in the org."""
        return self.machine_now() + self._ahead_ms

    def advance(self, seconds: float) -> None:
        """Move the org's clock ahead, so that tokens, sessions and events age at once."""
        self._ahead_ms += int(seconds * 1000)
