"""Exponential back-off with jitter."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

_MOST_DOUBLINGS = 60  # the cap applies long before, and a larger power would overflow a float


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays in seconds that double from `base` up to `cap`.

    `jitter` is the random part of each delay: with 1 it is between 0 and the full delay (full
    jitter), so that clients that were disconnected together do not reconnect together; with 0.5
    between half and the full delay; with 0 exact.
    """

    base: float
    cap: float
    jitter: float = 1.0

    def delay(self, failures: int) -> float:
        """Return the delay after `failures` consecutive failed attempts (at least one)."""
        longest = min(self.cap, self.base * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))
        return random.uniform(longest * (1 - self.jitter), longest)

    def delays(self) -> Iterator[float]:
        """Yield the delays after the first failure, the second, and so on, without end."""
        return map(self.delay, count(1))
