"""Exponential back-off with jitter: the delays between the attempts at one thing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

_MOST_DOUBLINGS = 60  # past this the cap holds anyway, and 2**n would overflow a float


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays in seconds that double from `base` up to `cap`.

    `jitter` is the random share of each: 1 spreads it evenly from 0 (full jitter), so that many
    clients cut off together don't come back together; 0.5 from the half; 0 leaves it exact.
    """

    base: float
    cap: float
    jitter: float = 1.0

    def delay(self, failures: int) -> float:
        """Return the delay after so many failed attempts in a row, at least one."""
        longest = min(self.cap, self.base * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))
        return random.uniform(longest * (1 - self.jitter), longest)

    def delays(self) -> Iterator[float]:
        """Yield the delay after the first failure, the second and so on, without end."""
        return map(self.delay, count(1))
