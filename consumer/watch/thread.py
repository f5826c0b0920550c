"""The watch in a listener process, in a thread of its own: what it waits for holds nobody up."""

from __future__ import annotations

import threading

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from audit.traffic import usages
from consumer import metrics, notify, usage
from consumer.watch import watch

log = structlog.get_logger(__name__)


class WatchThread:
    """Looks each settings.CDC_WATCH_SECONDS, the first time after one of them."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            while not self._stop.wait(settings.CDC_WATCH_SECONDS):
                try:
                    look()
                except (DatabaseError, InterfaceError) as error:
                    log.warning("not watched", reason=str(error).strip())
                    connection.close()
        finally:
            connection.close()


def look() -> None:
    """Look, tell what is due, and show it as metrics. Never inside a transaction."""
    now = timezone.now()
    seen = watch(now)
    notify.tell_due(now)
    usage.refresh_due(now)
    metrics.show(seen, usages(now), now)
