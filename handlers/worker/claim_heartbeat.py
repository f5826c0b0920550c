"""Renews the claims of the runs of this process: what nobody renews, a dead worker left."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import Error, connection, transaction

from handlers.models import Delivery
from handlers.types import Running
from listeners.clock import database_clock

log = structlog.get_logger(__name__)

#: How long past the time limit of a run its worker is given to end it, before it counts as hung.
GRACE = timedelta(seconds=30)
BEATS_A_CLAIM = 4


def claim_span() -> timedelta:
    """For how long a claim holds that is not renewed."""
    longest = timedelta(seconds=settings.CDC_RUN_SECONDS) + GRACE
    return min(timedelta(seconds=settings.CDC_CLAIM_SECONDS), longest)


def deadline(started_at: datetime, now: datetime) -> datetime:
    """Until when a claim holds that is renewed now; renewing ends with the time limit."""
    longest = started_at + timedelta(seconds=settings.CDC_RUN_SECONDS) + GRACE
    return min(now + timedelta(seconds=settings.CDC_CLAIM_SECONDS), longest)


class Heartbeat:
    """One thread a process, begun with its first run: a pool's children are forked without it."""

    def __init__(self) -> None:
        self._running: set[Running] = set()
        self._thread: threading.Thread | None = None

    @contextmanager
    def of(self, *runs: Running) -> Iterator[None]:
        """Keep the claims of these runs alive meanwhile."""
        self._running.update(runs)
        self._begin()
        try:
            yield
        finally:
            self.drop(runs)

    def drop(self, runs: Iterable[Running]) -> None:
        """They are given back: another worker's claim may have the same number."""
        self._running.difference_update(runs)

    def _begin(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._thread.start()

    def _beat(self) -> None:
        never = threading.Event()
        while not never.wait(settings.CDC_CLAIM_SECONDS / BEATS_A_CLAIM):
            try:
                if running := self._running.copy():
                    renew(running, database_clock.read())
            except Error as error:
                log.warning("claims are renewed later", reason=str(error).strip())
            finally:
                connection.close()


def renew(running: set[Running], now: datetime) -> int:
    """Push the claims' ends back; how many were still held. Never inside a transaction."""
    together: dict[datetime, dict[int, int]] = defaultdict(dict)
    for run in running:
        together[run.started_at][run.delivery_id] = run.attempt
    renewed = 0
    for started_at, held in together.items():
        with transaction.atomic(durable=True):
            mine = Delivery.objects.filter(pk__in=Delivery.objects.running(held))
            renewed += mine.update(claim_deadline=deadline(started_at, now))
    return renewed


heartbeat = Heartbeat()
