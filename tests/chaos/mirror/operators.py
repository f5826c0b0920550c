"""The operators' actions during a run: redeliver, load again, verify, and poll the status."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from tests.chaos.mirror.copies import COPIES
from tests.chaos.mirror.operator import Operator
from tests.chaos.mirror.watcher import Watcher

STATUS_SECONDS = 0.5
_DEPTHS = ("counts", "ids", "sample", "full")


class Redeliveries(threading.Thread):
    """Performs a random action every `every` seconds. `done` counts them."""

    def __init__(
        self, operator: Operator, rng: random.Random, known: list[str], every: float
    ) -> None:
        super().__init__(name="redeliveries", daemon=True)
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []
        self._operator, self._rng, self._known, self._every = operator, rng, known, every
        self._ended = threading.Event()
        self._acts: dict[Callable[[], list[str]], int] = {
            self.redeliver_a_record: 8,
            self.redeliver_an_object: 3,
            self.redeliver_everything: 1,
            self.load: 2,
            self.verify: 2,
        }

    def run(self) -> None:
        while not self._ended.wait(self._rng.uniform(0.2, 1.8) * self._every):
            [act] = self._rng.choices([*self._acts], [*self._acts.values()])
            answer = self._operator.run(*act())
            self.done[act.__name__.replace("_", " ")] += 1
            if "error" in answer:
                self.errors.append(f"{act.__name__}: {answer['error']}")

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def redeliver_a_record(self) -> list[str]:
        return [*self._redeliver(), "--record", self._rng.choice(self._known)]

    def redeliver_an_object(self) -> list[str]:
        return [*self._redeliver(), "--entity", self._rng.choice(COPIES).entity]

    def redeliver_everything(self) -> list[str]:
        return [*self._redeliver(), "--all"]

    def load(self) -> list[str]:
        return ["mirror", "load", self._rng.choice(COPIES).model]

    def verify(self) -> list[str]:
        depth = self._rng.choice(_DEPTHS)
        return ["mirror", "verify", self._rng.choice(COPIES).model, "--depth", depth]

    def _redeliver(self) -> list[str]:
        return ["redeliver_cdc_events", *self._rng.choice(([], ["--as-recorded"]))]


class StatusReader(threading.Thread):
    """Polls the status, and passes its claims to the watcher. `states` counts the states."""

    def __init__(self, operator: Operator, watcher: Watcher) -> None:
        super().__init__(name="status", daemon=True)
        self.states: Counter[str] = Counter()
        self._operator, self._watcher = operator, watcher
        self._ended = threading.Event()

    def run(self) -> None:
        entities = {copy.model: copy.entity for copy in COPIES}
        while not self._ended.wait(STATUS_SECONDS):
            for mirror in self._operator.status():
                self.states[mirror["state"]] += 1
                if as_of := time_of(mirror["in_sync_as_of"]):
                    self._watcher.claim(entities[mirror["model"]], as_of)

    def stop(self) -> None:
        self._ended.set()
        self.join()


def wait_until_in_sync(operator: Operator, since: float, patience: float) -> list[str]:
    """Wait until each mirror is reported in sync as of a time after `since`, in ms. Returns the
    status of each mirror that is not."""
    deadline = time.monotonic() + patience
    while True:
        found = operator.status()
        wrong = [
            json.dumps(mirror)
            for mirror in found
            if mirror["state"] != "in_sync" or (time_of(mirror["in_sync_as_of"]) or 0) < since
        ]
        if (found and not wrong) or time.monotonic() > deadline:
            return wrong if found else ["mirror status says nothing"]
        time.sleep(1)


def time_of(text: str | None) -> float | None:
    """Return a time of the status in ms since 1970."""
    if not text:
        return None
    return datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000
