"""Pauses between attempts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

_MOST_DOUBLINGS = 60  # past this the cap holds anyway, and 2**n would overflow a float


def full_jitter(
    base: float, cap: float, *, rng: Callable[[], float] = random.random
) -> Iterator[float]:
    """Endless pauses in seconds: each drawn evenly from 0 up to min(cap, base * 2**n).

    Full jitter, so that many clients cut off together don't come back together. ``rng`` gives
    numbers in [0, 1). Make a new generator after a success.
    """
    attempt = 0
    while True:
        yield rng() * min(cap, base * 2 ** min(attempt, _MOST_DOUBLINGS))
        attempt += 1
