"""The number of deliveries to claim together, derived from the handler's measured run time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

#: The target amount of work in one claim.
CLAIM_SECONDS = 0.05
#: The weight of the newest run in the moving average.
WEIGHT = 0.2
LEAST = 1e-6


@dataclass(slots=True)
class RunTime:
    """The moving average of one handler's run time, in seconds."""

    seconds: float | None = None
    _size: int = 0

    def size(self, limit: int) -> int:
        """Return how many to claim: one before the first run, then at most twice the last size."""
        is_known = self.seconds is not None
        fitting = int(CLAIM_SECONDS / max(self.seconds or 0.0, LEAST)) if is_known else 1
        size = max(1, min(fitting, 2 * self._size, limit))
        self._size = max(size, min(self._size, fitting))
        return size

    def note(self, seconds: float) -> None:
        average = seconds if self.seconds is None else self.seconds
        self.seconds = average + WEIGHT * (seconds - average)

    @contextmanager
    def timed(self) -> Iterator[None]:
        began = monotonic()
        try:
            yield
        finally:
            self.note(monotonic() - began)


_run_times: dict[str, RunTime] = {}


def of(handler: str) -> RunTime:
    return _run_times.setdefault(handler, RunTime())
