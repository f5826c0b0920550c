"""A worker and beat show that their loops go round: each touches the file CDC_ALIVE_FILE.

For a container's health check, which looks at the file's age: asking a worker over the broker would
start Django each time. A worker whose loop hangs is found that way too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog
from celery import bootsteps
from celery.beat import PersistentScheduler
from django.conf import settings

log = structlog.get_logger(__name__)

#: Between two touches of a worker; beat does it whenever it looks what is due.
EVERY_SECONDS = 5.0


def touch() -> None:
    """Nothing where no file is named. What cannot be written is seen by who looks at its age."""
    if not settings.CDC_ALIVE_FILE:
        return
    try:
        Path(settings.CDC_ALIVE_FILE).touch()
    except OSError as error:
        log.warning("CDC_ALIVE_FILE cannot be touched", reason=error.strerror)


class Heartbeat(bootsteps.StartStopStep):
    """Of a worker, while it has the broker: in its loop, so that it ends when that hangs."""

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
    """Of beat. What it keeps is in VAR_DIR, which nobody else makes where database and broker are
    servers."""

    def setup_schedule(self) -> None:
        Path(self.schedule_filename).parent.mkdir(parents=True, exist_ok=True)
        super().setup_schedule()

    def tick(self, *arguments: Any, **options: Any) -> float:
        touch()
        seconds: float = super().tick(*arguments, **options)
        return seconds
