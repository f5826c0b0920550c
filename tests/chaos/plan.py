"""The plan of a run's faults, drawn from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

#: Seconds before the first fault, so that everybody has begun.
CALM_SECONDS = 2.0

#: How long a fault lasts: one of the ranges, in seconds. Leases last 10, runs 6.
LASTING: Mapping[str, Sequence[tuple[float, float]]] = {
    "freeze a listener": ((0.3, 3.0), (11.0, 14.0)),
    "freeze a worker": ((0.3, 3.0), (9.0, 12.0)),
    "cut off Salesforce": ((0.0, 0.1), (1.0, 4.0)),
    "cut off the database": ((0.0, 0.1), (1.0, 4.0)),
    "cut off the Pub/Sub API": ((0.0, 0.1), (1.0, 4.0)),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault. `at` and `seconds` count in seconds; `pick`, below 1, chooses among the targets."""

    at: float
    kind: str
    seconds: float
    pick: float


def schedule(seed: int, kinds: Sequence[str], *, seconds: float, every: float) -> list[Fault]:
    """Return the faults for a run of `seconds`, one `every` so many seconds on average, each kind
    equally often.

    None lasts longer than half of the whole.
    """
    rng = random.Random(seed)
    faults: list[Fault] = []
    at = CALM_SECONDS
    for kind in _in_turn(rng, kinds):
        if at >= seconds:
            break
        lasting = min(rng.uniform(*rng.choice(LASTING.get(kind, ((0.0, 0.0),)))), seconds / 2)
        faults.append(Fault(at, kind, lasting, rng.random()))
        at += rng.uniform(0.2, 1.8) * every
    return faults


def _in_turn(rng: random.Random, kinds: Sequence[str]) -> Iterator[str]:
    """Yield all kinds in random order, repeatedly."""
    while True:
        yield from rng.sample(list(kinds), len(kinds))
