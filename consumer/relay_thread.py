"""The relay in a listener process, in a thread of its own."""

from __future__ import annotations

import threading
import time

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from cdcproject.broker import ensure_embedded_broker
from consumer import relay
from handlers import dispatch

log = structlog.get_logger(__name__)

RELAY_SECONDS = 1.0


class RelayThread:
    """Publishes what is due each second, and sweeps each settings.CDC_SWEEP_SECONDS."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._swept_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            while not self._stop.wait(RELAY_SECONDS):
                self._round()
        finally:
            connection.close()

    def _round(self) -> None:
        try:
            relay.publish_due(timezone.now())
            if time.monotonic() - self._swept_at >= settings.CDC_SWEEP_SECONDS:
                self._swept_at = time.monotonic()
                relay.sweep(timezone.now())
        except dispatch.BrokerUnavailable as error:
            log.warning("published later", reason=str(error))
            _revive_broker()
        except (DatabaseError, InterfaceError) as error:
            log.warning("the database refuses", reason=str(error).strip())
            connection.close()


def _revive_broker() -> None:
    try:
        ensure_embedded_broker()
    except RuntimeError as error:
        log.warning("no broker", reason=str(error))
