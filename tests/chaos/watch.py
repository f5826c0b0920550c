"""Polls the product's progress during a run, for its longest pauses."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import psycopg

from tests.chaos.plan import Fault
from tests.chaos.stage import HEARD, Stage

LOOK_SECONDS = 0.2
_HIGHEST = """
SELECT l.name, (SELECT max(e.id) FROM audit_auditlogentry e WHERE e.listener_id = l.id)
FROM listeners_listener l
UNION ALL SELECT 'handling', (SELECT max(id) FROM chaos_effect)
"""


@dataclass(frozen=True, slots=True)
class Pause:
    """A time without recording or handling, and the faults that began in it or right before."""

    seconds: float
    what: str
    faults: tuple[str, ...]


class Watch(threading.Thread):
    """Notes each moment of progress. Times are seconds since the start."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(name="watch", daemon=True)
        self.started = time.monotonic()
        self._stage = stage
        self._ended = threading.Event()
        self._highest: dict[str, int] = {}
        self._progress: dict[str, list[float]] = {name: [0.0] for name in (*HEARD, "handling")}

    @property
    def now(self) -> float:
        return time.monotonic() - self.started

    def run(self) -> None:
        while not self._ended.is_set():
            with suppress(psycopg.Error), self._stage.connect() as connection:
                while not self._ended.wait(LOOK_SECONDS):
                    for name, highest in connection.execute(_HIGHEST):
                        self._note(name, highest or 0)

    def _note(self, name: str, highest: int) -> None:
        if highest > self._highest.get(name, 0):
            self._highest[name] = highest
            self._progress[name].append(self.now)

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def longest_pauses(self, faults: Sequence[Fault]) -> list[Pause]:
        """Return the longest pause of each listener and of the handlers."""
        return [self._longest(name, faults) for name in self._progress]

    def _longest(self, name: str, faults: Sequence[Fault]) -> Pause:
        moments = self._progress[name]
        pairs = list(itertools.pairwise(moments)) or [(0.0, self.now)]
        begin, end = max(pairs, key=lambda pair: pair[1] - pair[0])
        kinds = tuple(fault.kind for fault in faults if begin - 1 <= fault.at <= end)
        what = "handling" if name == "handling" else f"recording by {name}"
        return Pause(round(end - begin, 1), what, kinds)
