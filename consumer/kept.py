"""What takes a while to read, read for many that ask."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

import structlog
from django.db import Error, connection

log = structlog.get_logger(__name__)

#: Whoever asks waits so long at most: less than a scrape may take.
PATIENCE_SECONDS = 4.0
#: For so long what was read is as good as new.
KEPT_SECONDS = 5.0

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Read in a thread of its own, since what hangs cannot be interrupted: one at a time, whoever
    else asks meanwhile waits for the same. On a connection that is given back after it."""

    def __init__(self, read: Callable[[], Value], name: str) -> None:
        """`read` may raise the database's errors; `name`: the thread's."""
        self._read = read
        self._name = name
        self._lock = threading.Lock()
        self._reading: threading.Event | None = None
        self._found: Value | None = None
        self._found_at = -KEPT_SECONDS

    def latest(self) -> Value | None:
        """None: it could not be read, or not in time."""
        with self._lock:
            if self._found is not None and monotonic() - self._found_at < KEPT_SECONDS:
                return self._found
            reading = self._reading or self._begin()
        return self._found if reading.wait(PATIENCE_SECONDS) else None

    def _begin(self) -> threading.Event:
        self._reading = threading.Event()
        threading.Thread(target=self._run, name=self._name, daemon=True).start()
        return self._reading

    def _run(self) -> None:
        found: Value | None = None
        try:
            found = self._read()
        except Error as error:
            log.warning("not read", what=self._name, reason=str(error).strip())
        finally:
            connection.close()
            with self._lock:
                done, self._reading = self._reading, None
                self._found, self._found_at = found, monotonic()
            if done is not None:
                done.set()
