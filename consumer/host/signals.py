"""SIGTERM and SIGINT: whoever runs is asked to end, and is ended when it takes too long."""

from __future__ import annotations

import math
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from django.db import DatabaseError

from audit.db.retry import retry

log = structlog.get_logger(__name__)

#: An end within 15 s is promised, and whoever asked for it kills soon after.
LONGEST_SECONDS = 14.0
EXIT_NOT_DRAINED = 1


class Stopping:
    """Calls `stop` at the first signal and, 14 s later, ends the process as it is.

    A thread of its own watches: while the main thread waits in a database driver for an answer
    that never comes, no Python handler runs there. The bytes of `set_wakeup_fd` come all the same.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        """Of the main thread. `stop` only sets a flag: it is called by handler and thread alike."""
        self.asked = False
        self._stop = stop
        self._signals, wakeup = socket.socketpair()
        wakeup.setblocking(False)
        self._wakeup = wakeup
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="stopping", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Until that much time has passed or a signal came; whether one did."""
        deadline = time.monotonic() + seconds
        while not self.asked and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.25))
        return self.asked

    def _ask(self, *_: Any) -> None:
        self.asked = True
        self._stop()

    def _watch(self) -> None:
        while self._signals.recv(1)[0] not in (signal.SIGTERM, signal.SIGINT):
            pass  # a signal of somebody else's
        self._ask()
        time.sleep(LONGEST_SECONDS)
        log.error("not drained in time; what was not recorded comes again", seconds=LONGEST_SECONDS)
        os._exit(EXIT_NOT_DRAINED)


class _Stopped(Exception):
    """A signal came while the database was waited for."""


def wait_for_database(ask: Callable[[], None], stopping: Stopping) -> bool:
    """Ask the database something as soon as it answers; False when a signal came first."""

    def wait(seconds: float) -> None:
        if stopping.wait(seconds):
            raise _Stopped

    try:
        retry(ask, "start", also=(DatabaseError,), limit=math.inf, wait=wait)
    except _Stopped:
        return False
    return True
