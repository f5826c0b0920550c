"""Renews the claims of this process's runs, so that an expired claim means a dead worker."""

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

#: How long after a run's time limit its worker may take to end it, before it counts as hung.
GRACE = timedelta(seconds=30)
BEATS_A_CLAIM = 4


def claim_span() -> timedelta:
    """Return how long a claim holds without renewal."""
    longest = timedelta(seconds=settings.CDC_RUN_SECONDS) + GRACE
    return min(timedelta(seconds=settings.CDC_CLAIM_SECONDS), longest)


def deadline(started_at: datetime, now: datetime) -> datetime:
    """Return the deadline of a claim renewed now, which the run's time limit caps."""
    longest = started_at + timedelta(seconds=settings.CDC_RUN_SECONDS) + GRACE
    return min(now + timedelta(seconds=settings.CDC_CLAIM_SECONDS), longest)


class Heartbeat:
    """The process's heartbeat thread. It starts with the first run, because forks do not inherit
    threads."""

    def __init__(self) -> None:
        self._running: set[Running] = set()
        self._thread: threading.Thread | None = None

    @contextmanager
    def of(self, *runs: Running) -> Iterator[None]:
        """Renew the claims of these runs while the context is active."""
        self._running.update(runs)
        self._begin()
        try:
            yield
        finally:
            self.drop(runs)

    def drop(self, runs: Iterable[Running]) -> None:
        """Stop renewing claims that are given back: another worker may reuse their numbers."""
        self._running.difference_update(runs)

    def _begin(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._thread.start()

    def _beat(self) -> None:
        stopped = threading.Event()  # never set
        while not stopped.wait(settings.CDC_CLAIM_SECONDS / BEATS_A_CLAIM):
            try:
                if running := self._running.copy():
                    renew(running, database_clock.read())
            except Error as error:
                log.warning(
                    "claims not renewed: database error; will retry", reason=str(error).strip()
                )
            finally:
                connection.close()


def renew(running: set[Running], now: datetime) -> int:
    """Extend claims; return how many still hold. Never inside a transaction."""
    by_start: dict[datetime, dict[int, int]] = defaultdict(dict)
    for run in running:
        by_start[run.started_at][run.delivery_id] = run.attempt
    renewed = 0
    for started_at, held in by_start.items():
        with transaction.atomic(durable=True):
            claims = Delivery.objects.filter(pk__in=Delivery.objects.running(held))
            renewed += claims.update(claim_deadline=deadline(started_at, now))
    return renewed


heartbeat = Heartbeat()
