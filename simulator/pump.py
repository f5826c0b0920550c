"""Generated traffic at a rate, while the server serves."""

import asyncio
import time

from simulator.clock import Clock
from simulator.traffic import Traffic, UnknownMixError

SHORTEST_PAUSE = 0.02
LONGEST_PAUSE = 0.5


class Pump:
    """Drives the traffic generator; one run at a time. `problem` says why a run ended early."""

    def __init__(self, traffic: Traffic, clock: Clock) -> None:
        self._traffic = traffic
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self.produced = 0
        self.problem = ""

    @property
    def is_running(self) -> bool:
        """Whether events are still to come."""
        return self._task is not None and not self._task.done()

    async def start(self, rate: float, count: int | None) -> None:
        """Replace what runs; with a count and no rate, all events come at once."""
        await self.stop()
        self.problem = ""
        if rate > 0:
            self._task = asyncio.create_task(self._run(rate, count))
        elif count:
            self.produced += len(self._traffic.burst(count, self._clock.now()))

    async def stop(self) -> None:
        """End the run."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self, rate: float, count: int | None) -> None:
        started, made = time.monotonic(), 0
        while count is None or made < count:
            due = int((time.monotonic() - started) * rate) + 1
            missing = (due if count is None else min(due, count)) - made
            if missing > 0:
                try:
                    fresh = len(self._traffic.burst(missing, self._clock.now()))
                except UnknownMixError as error:
                    self.problem = str(error)
                    return
                made += fresh
                self.produced += fresh
            await asyncio.sleep(min(max(1 / rate, SHORTEST_PAUSE), LONGEST_PAUSE))
