"""Threads that repeat a piece of work in a listener process."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from django.db import connection

from audit.db.retry import TRANSIENT, suppress_transient_errors

log = structlog.get_logger(__name__)


class PeriodicThread:
    """Calls `work` every `seconds`, first after that time.

    No error ends the thread: otherwise the process would run on without renewing its leases.
    """

    def __init__(self, name: str, work: Callable[[], None], seconds: float) -> None:
        """`name` is the thread's name, and `work` is called in it."""
        self._name = name
        self._work = work
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            while not self._ended.wait(self._seconds):
                with suppress_transient_errors(self._name):
                    self._run_once()
        finally:
            connection.close()

    def _run_once(self) -> None:
        try:
            self._work()
        except TRANSIENT:
            raise
        except Exception:  # it may be temporary
            log.exception("unexpected error", thread=self._name)
            connection.close()
