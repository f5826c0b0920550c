"""The progress of one message's deliveries through a worker.

Two threads share a bundle: the one that runs the deliveries, and the watchdog, which gives the
others away if a run takes long.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

import structlog
from django.db import connection

from audit.internal_errors import step
from handlers.models import Delivery
from handlers.models.chain_heads import Follower
from handlers.outbox import publish
from handlers.outbox.message_size import MOST, size_limit
from handlers.sdk import registry
from handlers.sdk.registry import attempts_allowed
from handlers.types import Ended, Run, Unit
from handlers.worker import metrics
from handlers.worker.claim import await_release, give_back, heartbeat
from handlers.worker.settle import settle_runs
from listeners.clock import database_clock
from listeners.threads import BackgroundThread, for_each

log = structlog.get_logger(__name__)

#: The target time for one message; remaining deliveries are then published for other workers.
MESSAGE_SECONDS = 0.5
#: How long a message with a single delivery also runs the next deliveries of its chain, which then
#: skip the queue. It is short, so that other chains get their turn.
ALONE_SECONDS = 0.2
#: Claims that have not started after this time are given back.
LATE_SECONDS = 1.0
#: The interval at which the watchdog checks the bundles.
LOOKS_SECONDS = 0.25


class Bundle:
    """The deliveries of one message: unclaimed, claimed, ended, and the next of their chains."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.counts: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._began_at = self._claimed_at = monotonic()
        self._rest = deque(dict.fromkeys(ids))
        self._size = len(self._rest)
        self._next: deque[Follower] = deque()
        self._kind: tuple[str, str] | None = None
        self._waiting: deque[Unit] = deque()
        self._put_back: set[int] = set()
        self._ended: list[Ended] = []
        self._following: list[Follower] = []
        self._left: list[int] = []
        self._done = 0
        self._is_retry = False

    @property
    def is_late(self) -> bool:
        """Whether the claims have waited too long, for a slow run or a frozen process.

        Soon their deliveries may be given to another worker.
        """
        return monotonic() - self._claimed_at > LATE_SECONDS

    def take(self, size: int) -> list[int]:
        """Return the ids of the next deliveries to claim, at most `size`."""
        with self._lock:
            ids = [self._rest.popleft() for _ in range(min(size, len(self._rest)))]
            more = min(size - len(ids), len(self._next))
            return [*ids, *(self._next.popleft().id for _ in range(more))]

    def begin(self, units: Sequence[Unit]) -> None:
        """Add claimed units, which wait for their run."""
        with self._lock:
            self._claimed_at = monotonic()
            self._waiting.extend(units)
            if units:
                first = units[0][0].delivery
                self._kind = first.handler, first.queue
                self._is_retry = units[0][0].counted > 1

    def next(self, fits: Callable[[Unit], bool] | None = None) -> Unit | None:
        """Return the next unit to run; None if there is none, if it does not fit, or if the claims
        are late.

        Inside a transaction give `fits`: the watchdog's lock is then not waited for, since on
        SQLite the watchdog may wait for the transaction.
        """
        if not self._lock.acquire(blocking=fits is None):
            return None
        try:
            if not self._waiting or self.is_late or (fits and not fits(self._waiting[0])):
                return None
            return self._waiting.popleft()
        finally:
            self._lock.release()

    def has_waiting(self) -> bool:
        return bool(self._waiting)

    def put_back(self, units: Sequence[Unit]) -> None:
        """Let units whose run left nothing behind be the next ones again."""
        with self._lock:
            self._waiting.extendleft(reversed(units))
            self._put_back.update(unit[0].delivery.pk for unit in units)

    def was_put_back(self, unit: Unit) -> bool:
        return unit[0].delivery.pk in self._put_back

    def end(self, run: Run) -> None:
        """Add the result of a unit's run."""
        metrics.ran(run.ended)
        with self._lock:
            self._done += len(run.ended)
            self._left += run.left
            self.counts.update(ended.name for ended in run.ended)
            if run.following is None:
                self._ended += run.ended
            else:
                metrics.settled(run.ended)
                self._keep_next(run.following)

    def settle(self) -> None:
        """Settle the ended runs and continue with the next of their chains.

        Gives the remaining deliveries away if the time for the message is over.
        """
        with self._lock:
            self._settle()
            age = monotonic() - self._began_at
            if self.is_late or age > MESSAGE_SECONDS:
                self._leave()
            elif self._size > 1 or age < ALONE_SECONDS:
                self._take_on()

    def leave(self) -> None:
        """Settle the ended runs and give the remaining deliveries away."""
        with self._lock:
            try:
                self._settle()
            finally:
                self._leave()

    def _settle(self) -> None:
        following, lost = settle_runs(self._ended)
        self._keep_next(following)
        metrics.settled(ended for ended in self._ended if ended not in lost)
        self._ended = []
        self.counts.subtract(ended.name for ended in lost)
        self.counts["claim lost"] += len(lost)

    def _keep_next(self, following: Sequence[Follower]) -> None:
        """Keep the next deliveries of the chains, to run or publish them here.

        After a retry they stay ready for the relay, which publishes them in larger messages. Run
        here, they would continue as a small message, with one commit each, to the end of the chain.
        """
        if not self._is_retry:
            self._following += following

    def _take_on(self) -> None:
        following = self._following
        self._next += (follower for follower in following if self._fits(follower))
        self._following = [follower for follower in following if not self._fits(follower)]

    def _fits(self, follower: Follower) -> bool:
        """Return whether a delivery of the same handler and queue may share this message."""
        if follower.is_external or follower.is_paused:
            return False
        if (follower.handler, follower.queue) != self._kind:
            return False
        handler = registry.find(follower.handler)
        if handler is None or self._size == 1:
            return handler is not None
        attempts = attempts_allowed(handler, follower.max_attempts)
        return not follower.counted and size_limit(handler, 0, attempts) > 1

    def _leave(self) -> None:
        self._following += self._next
        self._next.clear()
        if not self._waiting and not self._rest:
            return
        waiting = [claim for unit in self._waiting for claim in unit]
        heartbeat.drop(waiting)
        for was_called in (False, True):
            claims = [
                each for each in waiting if (each.delivery.pk in self._put_back) is was_called
            ]
            give_back(claims, called=was_called)
        if self._rest:
            Delivery.objects.unmark_queued(self._rest)
        self._left += [*(claim.delivery.pk for claim in waiting), *self._rest]
        self._waiting.clear()
        self._rest.clear()

    def has_others(self) -> bool:
        """Return whether other deliveries could proceed without waiting for the current run."""
        return bool(self._rest or self._next or self._waiting or self._ended or self._following)

    def hand_on(self) -> None:
        """Publish the next deliveries of the chains and the ones given away.

        Messages of the latter have as many deliveries as this message completed in its time.
        """
        with self._lock:
            following, self._following = self._following, []
            left, self._left = self._left, []
        now = database_clock.now()
        if following:
            publish.publish_or_leave([follower.id for follower in following], now, size=MOST)
        if left:
            publish.publish_or_leave(left, now, size=max(1, self._done))

    def __str__(self) -> str:
        counts = {name: count for name, count in self.counts.items() if count}
        if counts.keys() and sum(counts.values()) == 1:
            return next(iter(counts))
        return ", ".join(f"{count} {name}" for name, count in counts.items())


class Watchdog:
    """The process's watchdog thread. It starts with the first message of several deliveries,
    because forks do not inherit threads."""

    def __init__(self) -> None:
        self._bundles: set[Bundle] = set()
        self._woken = threading.Event()
        self._freeing = threading.Lock()
        self._thread: BackgroundThread | None = None

    @contextmanager
    def over(self, bundle: Bundle) -> Iterator[None]:
        """Watch a bundle while the context is active, and as long as it gives deliveries away."""
        self._bundles.add(bundle)
        self._begin()
        self._woken.set()
        try:
            yield
        finally:
            self._bundles.discard(bundle)
            await_release(self._freeing)

    def _begin(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            looking = step(
                "watchdog",
                self._look,
                "Deliveries that wait behind a slow run are not given to other workers.",
            )
            self._thread = BackgroundThread(looking)
            self._thread.start()

    def _look(self) -> None:
        if not self._bundles:
            self._woken.wait()
            self._woken.clear()
            return
        time.sleep(LOOKS_SECONDS)
        for_each(self._bundles.copy(), self._free_late, name=lambda bundle: "a message")

    def _free_late(self, bundle: Bundle) -> None:
        with self._freeing:
            if bundle in self._bundles and bundle.is_late and bundle.has_others():
                _free(bundle)


def _free(bundle: Bundle) -> None:
    try:
        bundle.leave()
        log.info("slow run: giving the other deliveries of its message to other workers")
        bundle.hand_on()
    finally:
        connection.close()


watchdog = Watchdog()
