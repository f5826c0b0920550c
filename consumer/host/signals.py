"""SIGTERM and SIGINT: ask the process to stop, and end it when draining takes too long."""

from __future__ import annotations

import math
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import structlog
from django.db import DatabaseError

from audit.db.retry import retry
from listeners.backoff import Backoff
from listeners.threads import BackgroundThread, Step

log = structlog.get_logger(__name__)

#: Below the promised 15 s, after which an orchestrator may kill the process.
LONGEST_SECONDS = 14.0
EXIT_NOT_DRAINED = 1


class Stopping:
    """Calls `stop` at the first signal, and exits the process 14 s later.

    A separate thread watches for signals: while the main thread waits in a database driver, Python
    runs no signal handler in it, but still writes to the descriptor of `set_wakeup_fd`.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        """Install the handlers; call this in the main thread. `stop` must only set a flag, since a
        signal handler and a thread may both call it."""
        self.asked = False
        self._stop = stop
        self._signals, wakeup = socket.socketpair()
        wakeup.setblocking(False)
        self._wakeup = wakeup
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        watching = Step(
            "stopping",
            self._watch,
            consequence="A signal to stop takes effect late.",
            backoff=Backoff(0.1, 1.0),
        )
        BackgroundThread(watching).start()

    def wait(self, seconds: float) -> bool:
        """Wait for that many seconds or until a signal came; return whether one came."""
        deadline = time.monotonic() + seconds
        while not self.asked and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.25))
        return self.asked

    def _ask(self, *_: Any) -> None:
        self.asked = True
        self._stop()

    def _watch(self) -> None:
        if self._signals.recv(1)[0] not in (signal.SIGTERM, signal.SIGINT):
            return  # a signal that other code handles
        self._ask()
        time.sleep(LONGEST_SECONDS)
        log.error(
            "not drained in time; unrecorded changes will be received again",
            seconds=LONGEST_SECONDS,
        )
        os._exit(EXIT_NOT_DRAINED)


class _Stopped(Exception):
    """A signal came while waiting for the database."""


def wait_for_database(ask: Callable[[], None], stopping: Stopping) -> bool:
    """Call `ask` until the database answers; return False when a signal came first."""

    def wait(seconds: float) -> None:
        if stopping.wait(seconds):
            raise _Stopped

    try:
        retry(ask, "start", also=(DatabaseError,), limit=math.inf, wait=wait)
    except _Stopped:
        return False
    return True
