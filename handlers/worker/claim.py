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
from datetime import datetime
from time import monotonic
from typing import TypeVar

from django.conf import settings
from django.db import connection, transaction

from audit.db.retry import retry
from audit.internal_errors import step
from handlers.mappings.retarget import is_misdirected, move_left_behind
from handlers.models import Delivery
from handlers.types import Claim
from handlers.worker import hot_sql, late_claims
from handlers.worker.time_limit import claim_span, deadline
from listeners import crash_points
from listeners.backoff import Backoff
from listeners.clock import database_clock
from listeners.threads import BackgroundThread

Result = TypeVar("Result")
Row = TypeVar("Row")
#: Seconds for which a claim is retried: no other worker has the message.
CLAIM_RETRY_SECONDS = 120.0
#: Seconds for which work between a claim and its first renewal is retried, at most.
UNRENEWED_RETRY_SECONDS = 20.0
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
    asked_at = monotonic()
    claims = _claim_one(ids[0]) if len(ids) == 1 else _claim_many(ids)
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
        active = [claim for claim in active if claim not in moved]
        _retry_unrenewed(lambda: give_back(moved), "give back")
        left_behind = Delivery.objects.filter(pk__in=[claim.delivery.pk for claim in moved])
        now = database_clock.now()
        _retry_unrenewed(lambda: move_left_behind(left_behind, now), "move")
    is_late = monotonic() - asked_at > claim_span().total_seconds() / BEATS_A_CLAIM
    return _still_held(active) if is_late else active


def _retry_unrenewed(work: Callable[[], Result], what: str) -> Result:
    """Retry for so short a time that the claim is renewed before it expires."""
    limit = min(UNRENEWED_RETRY_SECONDS, claim_span().total_seconds() / 4)
    return retry(work, what, limit=limit)


def give_back(claims: Collection[Claim], *, paused: bool = False, called: bool = False) -> None:
    """Return unused claims, which do not count as attempts.

    Claims that were ended as lost do not count either, unless their handlers were `called`.
    """
    if not claims:
        return
    held = {claim.delivery.pk: claim.attempt for claim in claims}
    returned = Delivery.objects.give_back(held, paused=paused)
    if not called:
        late_claims.discount(held.keys() - returned, {claim.started_at for claim in claims})


def _claim_one(delivery_id: int) -> list[Claim]:
    def begin(now: datetime) -> list[int]:
        return [delivery_id] if hot_sql.begin(delivery_id, now, claim_span()) else []

    begun, moments = _begun([delivery_id], begin, list)
    if not begun:
        return []
    crash_points.reach("claimed")
    delivery = retry(lambda: hot_sql.load(delivery_id), "load", limit=CLAIM_RETRY_SECONDS)
    if delivery is None or delivery.started_at not in moments:
        return []
    return [Claim(delivery, delivery.attempts, delivery.started_at)]


def _claim_many(ids: Sequence[int]) -> list[Claim]:
    def begin(now: datetime) -> list[Delivery]:
        return hot_sql.begin_all(ids, now, claim_span())

    def read(kept: Collection[int]) -> list[Delivery]:
        return list(Delivery.objects.filter(pk__in=kept).defer("error"))

    rows, _ = _begun(ids, begin, read)
    crash_points.reach("claimed")
    begun = {delivery.pk: delivery for delivery in rows}
    ordered = [begun[pk] for pk in dict.fromkeys(ids) if pk in begun]
    deliveries = retry(lambda: hot_sql.load_all(ordered), "load", limit=CLAIM_RETRY_SECONDS)
    return [
        Claim(delivery, delivery.attempts, delivery.started_at)
        for delivery in deliveries
        if delivery.started_at is not None
    ]


def _begun(
    ids: Sequence[int],
    begin: Callable[[datetime], list[Row]],
    read: Callable[[Collection[int]], list[Row]],
) -> tuple[list[Row], list[datetime]]:
    """Begin claims, each try at a moment of its own; return what began, and the moments.

    After an error, look for claims that have begun all the same: the answer may have been lost.
    """
    moments: list[datetime] = []

    def attempt() -> list[Row]:
        if moments and (kept := late_claims.keep(ids, moments, claim_span())):
            return read(kept)
        moments.append(database_clock.now())
        return begin(moments[-1])

    return retry(attempt, "claim", limit=CLAIM_RETRY_SECONDS), moments


def _still_held(claims: Sequence[Claim]) -> list[Claim]:
    """Renew claims that took long; return those that the relay has not ended as lost."""
    ids = [claim.delivery.pk for claim in claims]
    moments = {claim.started_at for claim in claims}

    def keep() -> set[int]:
        return late_claims.keep(ids, moments, claim_span())

    held = _retry_unrenewed(keep, "renew") if claims else set()
    return [claim for claim in claims if claim.delivery.pk in held]


def await_release(lock: threading.Lock) -> None:
    """Wait until the thread that holds a lock releases it, at most THREAD_SECONDS."""
    if lock.acquire(timeout=THREAD_SECONDS):
        lock.release()


class Heartbeat:
    """The process's heartbeat thread. It starts with the first run, because forks do not inherit
    threads."""

    def __init__(self) -> None:
        self._claims: set[Claim] = set()
        self._thread: BackgroundThread | None = None
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
            every = settings.CDC_CLAIM_SECONDS / BEATS_A_CLAIM
            renewing = step(
                "heartbeat",
                self._renew,
                "Claims of running deliveries are not renewed: long runs may be started again.",
                backoff=Backoff(every / 4, every),
            )
            self._thread = BackgroundThread(renewing, every=every)
            self._thread.start()

    def _renew(self) -> None:
        with self._renewing:
            try:
                if claims := self._claims.copy():
                    renew(claims, database_clock.read())
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
