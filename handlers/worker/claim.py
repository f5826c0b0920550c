"""Claims deliveries for a worker, renews the claims while they run, and gives unused ones back.

A claim that is not renewed expires, so an expired claim means a dead worker. The number of
deliveries to claim together follows from the measured run time of their handler.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import Error, connection, transaction

from audit.db.retry import retry
from handlers.mappings.retarget import is_misdirected, move_left_behind
from handlers.models import Delivery
from handlers.types import Claim
from handlers.worker import hot_sql
from listeners import crash_points
from listeners.clock import database_clock

log = structlog.get_logger(__name__)
Result = TypeVar("Result")
#: Seconds for which a claim is retried: no other worker has the message.
CLAIM_RETRY_SECONDS = 120.0
#: Seconds for which work between a claim and its first renewal is retried, at most.
UNRENEWED_RETRY_SECONDS = 20.0
#: How long after a run's time limit its worker may take to end it, before it counts as hung.
GRACE = timedelta(seconds=30)
#: Renewals in the time that a claim holds.
BEATS_A_CLAIM = 4
#: The target amount of work in one claim.
CLAIM_SECONDS = 0.05
#: The weight of the newest run in the moving average.
WEIGHT = 0.2
LEAST = 1e-6
#: How long a run's end waits for work on it in another thread: a stopped database must not keep a
#: worker from shutting down.
THREAD_SECONDS = 5.0


def claim(ids: Sequence[int], handler: str = "") -> list[Claim]:
    """Claim the runnable deliveries among `ids`, in this order, with entry, listener and mapping.

    Deliveries of paused mappings are set aside. Deliveries whose row names another handler than
    the message (`handler`), or whose mapping another one than the row, are given back and moved.
    Database errors are retried,
    because no other worker has the message. Never inside a transaction.
    """
    now = retry(database_clock.now, "read the clock", limit=CLAIM_RETRY_SECONDS)
    claims = _claim_one(ids[0], now) if len(ids) == 1 else _claim_many(ids, now)
    if len(claims) < len(ids):
        unclaimed = set(ids) - {claim.delivery.pk for claim in claims}
        _retry_unrenewed(lambda: Delivery.objects.set_aside(unclaimed), "set aside")
    # The mapping was read after the claim's commit, so a pause committed before it is seen here.
    paused = [claim for claim in claims if claim.delivery.mapping.paused_at]
    _retry_unrenewed(lambda: give_back(paused, paused=True), "give back")
    active = [claim for claim in claims if claim not in paused]
    moved = [
        claim
        for claim in active
        if (handler and claim.delivery.handler != handler) or is_misdirected(claim.delivery)
    ]
    if moved:
        _retry_unrenewed(lambda: give_back(moved), "give back")
        left_behind = Delivery.objects.filter(pk__in=[claim.delivery.pk for claim in moved])
        _retry_unrenewed(lambda: move_left_behind(left_behind, now), "move")
    return [claim for claim in active if claim not in moved] if moved else active


def _retry_unrenewed(work: Callable[[], Result], what: str) -> Result:
    """Retry for so short a time that the claim is renewed before it expires."""
    limit = min(UNRENEWED_RETRY_SECONDS, claim_span().total_seconds() / 4)
    return retry(work, what, limit=limit)


def give_back(claims: Collection[Claim], *, paused: bool = False) -> None:
    """Return unused claims, which do not count as attempts. Lost claims are left unchanged."""
    if claims:
        held = {claim.delivery.pk: claim.attempt for claim in claims}
        Delivery.objects.give_back(held, paused=paused)


def _claim_one(delivery_id: int, now: datetime) -> list[Claim]:
    begin = partial(hot_sql.begin, delivery_id, now, claim_span())
    if not retry(begin, "claim", limit=CLAIM_RETRY_SECONDS):
        return []
    crash_points.reach("claimed")
    delivery = _retry_unrenewed(lambda: hot_sql.load(delivery_id), "load")
    return [Claim(delivery, delivery.attempts, now)] if delivery is not None else []


def _claim_many(ids: Sequence[int], now: datetime) -> list[Claim]:
    begin = partial(hot_sql.begin_all, ids, now, claim_span())
    rows = retry(begin, "claim", limit=CLAIM_RETRY_SECONDS)
    crash_points.reach("claimed")
    begun = {delivery.pk: delivery for delivery in rows}
    ordered = [begun[pk] for pk in dict.fromkeys(ids) if pk in begun]
    deliveries = _retry_unrenewed(lambda: hot_sql.load_all(ordered), "load")
    return [Claim(delivery, delivery.attempts, now) for delivery in deliveries]


def claim_span() -> timedelta:
    """Return how long a claim holds without renewal."""
    longest = timedelta(seconds=settings.CDC_RUN_SECONDS) + GRACE
    return min(timedelta(seconds=settings.CDC_CLAIM_SECONDS), longest)


def deadline(started_at: datetime, now: datetime) -> datetime:
    """Return the deadline of a claim renewed now, which the run's time limit caps."""
    longest = started_at + timedelta(seconds=settings.CDC_RUN_SECONDS) + GRACE
    return min(now + timedelta(seconds=settings.CDC_CLAIM_SECONDS), longest)


def await_release(lock: threading.Lock) -> None:
    """Wait until the thread that holds a lock releases it, at most THREAD_SECONDS."""
    if lock.acquire(timeout=THREAD_SECONDS):
        lock.release()


class Heartbeat:
    """The process's heartbeat thread. It starts with the first run, because forks do not inherit
    threads."""

    def __init__(self) -> None:
        self._claims: set[Claim] = set()
        self._thread: threading.Thread | None = None
        self._renewing = threading.Lock()

    @contextmanager
    def of(self, claims: Collection[Claim]) -> Iterator[None]:
        """Renew these claims while the context is active.

        On exit, wait for a renewal that has begun: the thread must not use the database after the
        test that made the claims.
        """
        self._claims.update(claims)
        self._begin()
        try:
            yield
        finally:
            self.drop(claims)
            await_release(self._renewing)

    def drop(self, claims: Iterable[Claim]) -> None:
        """Stop renewing claims that are given back: another worker may reuse their numbers."""
        self._claims.difference_update(claims)

    def _begin(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._thread.start()

    def _beat(self) -> None:
        stopped = threading.Event()  # never set
        while not stopped.wait(settings.CDC_CLAIM_SECONDS / BEATS_A_CLAIM):
            with self._renewing:
                self._renew()

    def _renew(self) -> None:
        try:
            if claims := self._claims.copy():
                renew(claims, database_clock.read())
        except Error as error:
            log.warning("claims not renewed: database error; will retry", reason=str(error).strip())
        finally:
            connection.close()


def renew(claims: Collection[Claim], now: datetime) -> int:
    """Extend claims; return how many still hold. Never inside a transaction."""
    by_start: dict[datetime, dict[int, int]] = defaultdict(dict)
    for claim in claims:
        by_start[claim.started_at][claim.delivery.pk] = claim.attempt
    renewed = 0
    for started_at, held in by_start.items():
        with transaction.atomic(durable=True):
            running = Delivery.objects.filter(pk__in=Delivery.objects.running(held))
            renewed += running.update(claim_deadline=deadline(started_at, now))
    return renewed


heartbeat = Heartbeat()


@dataclass(slots=True)
class RunTime:
    """The moving average of one handler's run time, in seconds."""

    seconds: float | None = None
    _size: int = 0

    def size(self, limit: int) -> int:
        """Return how many to claim: one before the first run, then at most twice the last size."""
        is_known = self.seconds is not None
        fitting = int(CLAIM_SECONDS / max(self.seconds or 0.0, LEAST)) if is_known else 1
        size = max(1, min(fitting, 2 * self._size, limit))
        self._size = max(size, min(self._size, fitting))
        return size

    def note(self, seconds: float) -> None:
        average = seconds if self.seconds is None else self.seconds
        self.seconds = average + WEIGHT * (seconds - average)

    @contextmanager
    def timed(self) -> Iterator[None]:
        began = monotonic()
        try:
            yield
        finally:
            self.note(monotonic() - began)


_run_times: dict[str, RunTime] = {}


def run_time_of(handler: str) -> RunTime:
    return _run_times.setdefault(handler, RunTime())
