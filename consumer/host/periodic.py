"""What a listener process does again and again beside its listeners: each in its own thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from django.db import connection

from audit.db.errors import TRANSIENT
from audit.db.retry import suppress_transient_errors

log = structlog.get_logger(__name__)


class Rounds:
    """Calls `work` every so many seconds, the first time after them. Nothing that goes wrong in one
    round ends the next: the process would go on without its leases being renewed."""

    def __init__(self, name: str, work: Callable[[], None], seconds: float) -> None:
        """`work` is called from the thread, which is named so."""
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
                    self._round()
        finally:
            connection.close()

    def _round(self) -> None:
        try:
            self._work()
        except TRANSIENT:
            raise
        except Exception:  # nobody foresaw it, and it may pass
            log.exception("unforeseen", thread=self._name)
            connection.close()
