"""How long the runs of a handler take in this process, and so how many are claimed together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

#: What is claimed together is about so much work.
CHUNK_SECONDS = 0.05
#: What the newest run counts for.
WEIGHT = 0.2
LEAST = 1e-6


@dataclass(slots=True)
class Pace:
    """Of one handler."""

    seconds: float | None = None
    _size: int = 0

    def size(self, most: int) -> int:
        """How many to claim: one while nothing is known, and at most twice as many as last."""
        known = self.seconds is not None
        fitting = int(CHUNK_SECONDS / max(self.seconds or 0.0, LEAST)) if known else 1
        size = max(1, min(fitting, 2 * self._size, most))
        self._size = max(size, min(self._size, fitting))
        return size

    def note(self, seconds: float) -> None:
        known = seconds if self.seconds is None else self.seconds
        self.seconds = known + WEIGHT * (seconds - known)

    @contextmanager
    def timed(self) -> Iterator[None]:
        began = monotonic()
        try:
            yield
        finally:
            self.note(monotonic() - began)


_paces: dict[str, Pace] = {}


def of(handler: str) -> Pace:
    return _paces.setdefault(handler, Pace())
