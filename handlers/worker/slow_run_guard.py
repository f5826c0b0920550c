"""Gives a message's other deliveries away if one of its runs is slow or hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from django.db import Error, connection

from handlers.worker.message_run import Bundle

log = structlog.get_logger(__name__)

#: The interval at which bundles are checked.
LOOKS_SECONDS = 0.25


class Watchdog:
    """The process's watchdog thread. It starts with the first message of several deliveries,
    because forks do not inherit threads."""

    def __init__(self) -> None:
        self._bundles: set[Bundle] = set()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, bundle: Bundle) -> Iterator[None]:
        """Watch a bundle while the context is active."""
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
        log.info("slow run: giving the other deliveries of its message to other workers")
        bundle.hand_on()
    except Error as error:
        log.warning(
            "slow run: its message's other deliveries cannot be given away yet",
            reason=str(error).strip(),
        )
    except Exception:  # the thread must survive; the next look retries
        log.exception("unforeseen", thread="watchdog")
    finally:
        connection.close()


watchdog = Watchdog()
