"""A worker says in the database that it is there and which queues it hears.

In the worker's main process, while it is connected to the broker. What the database does never
holds the worker up: a thread writes, and what fails is tried again with the next beat.
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

log = structlog.get_logger(__name__)

EVERY = LIVE.total_seconds() / 4
#: A worker that ends, or that lost its broker, waits so long for the database.
LEAVING_SECONDS = 2.0
#: A new child waits so long for a beat that is being written.
FORK_SECONDS = 2.0

_SOLO = "celery.concurrency.solo"

# The pool may fork a child at any time: never in the middle of a beat, or the child would begin
# with half of this thread's database connection.
_writing = threading.Lock()


@contextmanager
def writing_apart() -> Iterator[None]:
    """For a thread of a worker's main process that uses the database."""
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
    #: Asked anew each time: queues can be added while it runs.
    queues: Callable[[], Sequence[str]]


class Beats:
    """One thread, from the worker's hearing its queues until it does no more.

    Each tick of the worker's own loop is one beat, so that a loop that hangs is not called alive.
    `pause`: of a worker whose loop stands still in every run, beat by itself after so many seconds.
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
        """Take the row away, unless the database is away itself."""
        self._is_over = True
        self._woken.set()
        self._thread.join(LEAVING_SECONDS)

    def _run(self) -> None:
        self._try(self._tidy)
        while not self._is_over:
            self._woken.wait(self._pause)
            self._woken.clear()
            self._try(self._beat)
        self._try(self._leave)

    def _try(self, write: Callable[[], None]) -> None:
        """Whatever the database says, the worker goes on; the same trouble is logged once."""
        try:
            with writing_apart():
                write()
            self._trouble = ""
        except Error as error:
            if (trouble := str(error).strip()) != self._trouble:
                log.warning("the worker is not shown as present", reason=trouble)
            self._trouble = trouble

    def _tidy(self) -> None:
        Worker.objects.tidy(self._identity.name)

    def _beat(self) -> None:
        who = self._identity
        Worker.objects.beat(
            who.name,
            who.pid,
            queues=who.queues(),
            concurrency=who.concurrency,
            started_at=who.started_at,
        )

    def _leave(self) -> None:
        Worker.objects.leave(self._identity.name, self._identity.pid)


class Presence(bootsteps.StartStopStep):
    """Started whenever the worker has its queues, stopped when it loses the broker or ends."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._started_at = timezone.now()
        self._beats: Beats | None = None
        self._tick: Any = None

    def start(self, consumer: Any) -> None:
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
