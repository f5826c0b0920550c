"""Registers a running worker and its queues in the database.

Runs in the worker's main process while it is connected to the broker. A separate thread writes the
heartbeats, so that the database never holds the worker up; the next heartbeat retries a failure.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from celery import bootsteps
from django.db import Error, connection
from django.utils import timezone

from handlers.models.worker import LIVE, Worker
from handlers.worker import time_limit

log = structlog.get_logger(__name__)

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
        self._is_over = False
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def begin(self) -> None:
        self._thread.start()
        self.tick()

    def tick(self) -> None:
        self._woken.set()

    def end(self) -> None:
        """Delete the worker's row, unless the database is unavailable."""
        self._is_over = True
        self._woken.set()
        self._thread.join(LEAVING_SECONDS)

    def _run(self) -> None:
        name, pid = self._identity.name, self._identity.pid
        self._try(lambda: Worker.objects.tidy(name))
        while not self._is_over:
            self._woken.wait(self._pause)
            self._woken.clear()
            self._try(self._beat)
        self._try(lambda: Worker.objects.leave(name, pid))

    def _try(self, write: Callable[[], None]) -> None:
        """Write, and ignore database errors; a repeated error is logged once."""
        try:
            with writing_apart():
                write()
            self._trouble = ""
        except Error as error:
            if (trouble := str(error).strip()) != self._trouble:
                log.warning("worker heartbeat not written: database error", reason=trouble)
            self._trouble = trouble

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
