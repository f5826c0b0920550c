"""Checks during a silent long poll whether the server still answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from listeners.threads import OVER, BackgroundThread, Step


class SilenceWatch:
    """Calls ``check`` after each ``interval`` seconds of silence, and ``give_up`` when it fails.

    Both are called on a separate thread.
    """

    def __init__(
        self, interval: float, check: Callable[[], bool], give_up: Callable[[], None]
    ) -> None:
        self._interval = interval
        self._check = check
        self._give_up = give_up
        self._changed = threading.Condition()
        self._waiting = 0  # the number of the wait; odd while one is in progress
        self._since = 0.0
        self._thread: BackgroundThread | None = None
        self._ended = False
        #: Whether the server did not answer during the last wait.
        self.has_given_up = False

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Watch the wait for an answer inside the ``with`` block."""
        with self._changed:
            self._waiting += 1
            self._since = time.monotonic()
            self.has_given_up = False
            if self._thread is None:
                watching = Step(
                    "silence",
                    self._check_next,
                    consequence="A server that no longer answers is noticed late.",
                )
                self._thread = BackgroundThread(watching)
                self._thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._waiting += 1

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _check_next(self) -> object:
        turn = self._next_due()
        if turn is None:
            return OVER
        if self._check() or self._ended:
            self._start_over(turn)
        elif self._is_current(turn):
            self.has_given_up = True
            self._give_up()
            self._start_over(turn)
        return None

    def _next_due(self) -> int | None:
        """Block until a wait has been silent for an interval, and return it; None after ``end``."""
        with self._changed:
            while not self._ended:
                silent = time.monotonic() - self._since if self._waiting % 2 else 0.0
                if silent >= self._interval:
                    self._since = time.monotonic()
                    return self._waiting
                self._changed.wait(self._interval - silent)
            return None

    def _start_over(self, turn: int) -> None:
        with self._changed:
            if turn == self._waiting:
                self._since = time.monotonic()

    def _is_current(self, turn: int) -> bool:
        with self._changed:
            return turn == self._waiting
