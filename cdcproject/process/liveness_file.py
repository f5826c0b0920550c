"""The liveness file CDC_ALIVE_FILE, which a worker and beat touch while their loops run.

The health check of a container looks at its age. That is cheaper than asking a worker over the
broker, which would load Django each time, and also detects a loop that hangs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog
from celery import bootsteps
from celery.beat import PersistentScheduler
from django.conf import settings

log = structlog.get_logger(__name__)

#: Seconds between two touches by a worker. Beat touches the file whenever it checks its schedule.
EVERY_SECONDS = 5.0


def touch() -> None:
    """Touch the file, if one is set. A failure is only logged: the age of the file shows it."""
    if not settings.CDC_ALIVE_FILE:
        return
    try:
        Path(settings.CDC_ALIVE_FILE).touch()
    except OSError as error:
        log.warning("could not touch CDC_ALIVE_FILE", reason=error.strerror)


class Heartbeat(bootsteps.StartStopStep):
    """Touches the file in the loop of a worker that is connected to the broker."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._tick: Any = None

    def start(self, consumer: Any) -> None:
        touch()
        self._tick = consumer.timer.call_repeatedly(EVERY_SECONDS, touch)

    def stop(self, consumer: Any) -> None:
        if self._tick is not None:
            self._tick.cancel()
        self._tick = None

    terminate = shutdown = stop


class Scheduler(PersistentScheduler):
    """The scheduler of beat, which creates VAR_DIR for its schedule file and touches the file."""

    def setup_schedule(self) -> None:
        Path(self.schedule_filename).parent.mkdir(parents=True, exist_ok=True)
        super().setup_schedule()

    def tick(self, *arguments: Any, **options: Any) -> float:
        touch()
        seconds: float = super().tick(*arguments, **options)
        return seconds
