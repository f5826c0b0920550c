"""Registers a running worker and its queues in the database.

Runs in the worker's main process while it is connected to the broker. A separate thread writes the
heartbeats, so that the database never holds the worker up; the next heartbeat retries a failure.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celery import bootsteps
from django.db import Error, connection
from django.utils import timezone

from audit.internal_errors import IncidentReporter, step
from handlers.models.worker import LIVE, Worker
from handlers.worker import time_limit
from listeners.threads import OVER, BackgroundThread

EVERY = LIVE.total_seconds() / 4
#: How long a worker that stops, or lost its broker, waits for the database.
LEAVING_SECONDS = 2.0
#: How long a fork waits for a heartbeat that is being written.
FORK_SECONDS = 2.0

_SOLO = "celery.concurrency.solo"

# The pool may fork a child at any time. A fork during a heartbeat would give the child a database
# connection in the middle of a statement, so forks wait for this lock.
_writing = threading.Lock()


@contextmanager
def writing_apart() -> Iterator[None]:
    """Use the database from a thread of a worker's main process, never during a fork."""
    with _writing:
        try:
            yield
        finally:
            connection.close()


class _ApartReporter(IncidentReporter):
    def release(self) -> None:
        """Do nothing: `writing_apart` closes the connection."""


def background_thread(
    name: str,
    work: Callable[[], object],
    consequence: str,
    *,
    finish: Callable[[], object] = lambda: None,
) -> BackgroundThread:
    """Return a thread for a worker's main process, which may fork at any time."""
    observer = _ApartReporter(writing_apart)
    return BackgroundThread(step(name, work, consequence, observer=observer), finish=finish)


def _before_fork() -> None:
    _forks.append(_writing.acquire(timeout=FORK_SECONDS))


def _after_fork() -> None:
    if _forks.pop():
        _writing.release()


_forks: list[bool] = []
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


@dataclass(frozen=True)
class Identity:
    name: str
    pid: int
    started_at: datetime
    concurrency: int | None
    #: Called for each heartbeat, because queues can be added to a running worker.
    queues: Callable[[], Sequence[str]]


class Beats:
    """The heartbeat thread, which runs while the worker consumes its queues.

    Each tick of the worker's event loop is one heartbeat, so that a worker whose loop hangs goes
    offline. With `pause`, the thread also beats after that many seconds on its own, for a worker
    whose loop stops during every run.
    """

    def __init__(self, identity: Identity, *, pause: float | None = None) -> None:
        self._identity = identity
        self._pause = pause
        self._woken = threading.Event()
        self._is_over = self._is_tidy = False
        self._thread = background_thread(
            "worker heartbeat",
            self._beat_at_tick,
            "The worker is shown as offline.",
            finish=self._leave,
        )

    def begin(self) -> None:
        self._thread.start()
        self.tick()

    def tick(self) -> None:
        self._woken.set()

    def end(self) -> None:
        """Delete the worker's row, unless the database is unavailable."""
        self._is_over = True
        self._woken.set()
        self._thread.stop()
        self._thread.join(LEAVING_SECONDS)

    def _beat_at_tick(self) -> object:
        self._woken.wait(self._pause)
        self._woken.clear()
        if self._is_over:
            return OVER
        with writing_apart():
            if not self._is_tidy:
                Worker.objects.tidy(self._identity.name)
                self._is_tidy = True
            self._beat()
        return None

    def _leave(self) -> None:
        with writing_apart(), suppress(Error):  # its row expires
            Worker.objects.leave(self._identity.name, self._identity.pid)

    def _beat(self) -> None:
        identity = self._identity
        Worker.objects.beat(
            identity.name,
            identity.pid,
            queues=identity.queues(),
            concurrency=identity.concurrency,
            started_at=identity.started_at,
        )


class Presence(bootsteps.StartStopStep):
    """The worker step that starts the heartbeat with the queues and stops it with the broker.

    Before the first run, it also adapts the limits to the worker's pool.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._started_at = timezone.now()
        self._beats: Beats | None = None
        self._tick: Any = None

    def start(self, consumer: Any) -> None:
        time_limit.follow(consumer.pool)
        is_solo = type(consumer.pool).__module__ == _SOLO
        self._beats = Beats(self._identity(consumer), pause=EVERY if is_solo else None)
        self._beats.begin()
        self._tick = consumer.timer.call_repeatedly(EVERY, self._beats.tick)

    def stop(self, consumer: Any) -> None:
        if self._tick is not None:
            self._tick.cancel()
        if self._beats is not None:
            self._beats.end()
        self._tick = self._beats = None

    terminate = shutdown = stop

    def _identity(self, consumer: Any) -> Identity:
        queues = consumer.app.amqp.queues
        return Identity(
            name=consumer.hostname,
            pid=os.getpid(),
            started_at=self._started_at,
            concurrency=getattr(consumer.controller, "concurrency", None),
            queues=lambda: sorted(queues.consume_from),
        )
