"""Sees to it that a run that takes long, or hangs, holds up none of the others of its message."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from django.db import Error, connection

from handlers.worker.message_run import Bundle

log = structlog.get_logger(__name__)

LOOKS_SECONDS = 0.25


class Watchdog:
    """One thread a process, begun with its first message of many: a pool's children are forked
    without it."""

    def __init__(self) -> None:
        self._bundles: set[Bundle] = set()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, bundle: Bundle) -> Iterator[None]:
        """Watch over it meanwhile."""
        self._bundles.add(bundle)
        self._begin()
        self._woken.set()
        try:
            yield
        finally:
            self._bundles.discard(bundle)

    def _begin(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()

    def _watch(self) -> None:
        while self._woken.wait():
            self._woken.clear()
            while self._bundles:
                time.sleep(LOOKS_SECONDS)
                for bundle in self._bundles.copy():
                    if bundle.is_late and bundle.has_others():
                        _free(bundle)


def _free(bundle: Bundle) -> None:
    try:
        bundle.leave()
        log.info("a run takes long: the others of its message go on elsewhere")
        bundle.hand_on()
    except Error as error:
        log.warning("the others of a message wait", reason=str(error).strip())
    except Exception:  # nobody foresaw it; it is tried again
        log.exception("unforeseen", thread="watchdog")
    finally:
        connection.close()


watchdog = Watchdog()
