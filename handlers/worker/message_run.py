"""The deliveries of one message, on their way through a worker.

Two threads have it: the one that runs them, and the watchdog, for when one of them takes long.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from time import monotonic

from handlers.models import Delivery
from handlers.models.chain_heads import Follower
from handlers.outbox import publish
from handlers.outbox.message_size import MOST, most
from handlers.sdk import registry
from handlers.sdk.retry_policy import allowed
from handlers.types import Ended, Run, Unit
from handlers.worker import metrics
from handlers.worker.claim import give_back
from handlers.worker.claim_heartbeat import heartbeat
from handlers.worker.settle import settled
from listeners.clock import database_clock

#: A message is worked at for about so long; what is left of it goes to whoever is free.
MESSAGE_SECONDS = 0.5
#: What follows in its chains runs here too meanwhile: it need not wait in a queue. What follows one
#: that is alone does for so long, since all that waits there is to have its turn soon.
ALONE_SECONDS = 0.2
#: What was claimed and has not begun so long after is given back.
CHUNK_SECONDS = 1.0


class Bundle:
    def __init__(self, ids: Sequence[int]) -> None:
        self.counts: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._began_at = self._claimed_at = monotonic()
        self._rest = deque(dict.fromkeys(ids))
        self._size = len(self._rest)
        self._next: deque[Follower] = deque()
        self._kind: tuple[str, str] | None = None
        self._waiting: deque[Unit] = deque()
        self._ended: list[Ended] = []
        self._following: list[Follower] = []
        self._left: list[int] = []
        self._done = 0
        self._is_retry = False

    @property
    def is_late(self) -> bool:
        """Whether what is claimed has waited for too long, for what runs or for a frozen process;
        another may have been given it soon."""
        return monotonic() - self._claimed_at > CHUNK_SECONDS

    def take(self, size: int) -> list[int]:
        """The next that are to be claimed."""
        with self._lock:
            ids = [self._rest.popleft() for _ in range(min(size, len(self._rest)))]
            more = min(size - len(ids), len(self._next))
            return [*ids, *(self._next.popleft().id for _ in range(more))]

    def begin(self, units: Sequence[Unit]) -> None:
        """They are claimed."""
        with self._lock:
            self._claimed_at = monotonic()
            self._waiting.extend(units)
            if units:
                first = units[0][0].delivery
                self._kind = first.handler, first.queue
                self._is_retry = units[0][0].counted > 1

    def next(self) -> Unit | None:
        """The next that is to run."""
        with self._lock:
            return self._waiting.popleft() if self._waiting and not self.is_late else None

    def end(self, run: Run) -> None:
        metrics.ran(run.ended)
        with self._lock:
            self._done += len(run.ended)
            self._left += run.left
            self.counts.update(one.name for one in run.ended)
            if run.following is None:
                self._ended += run.ended
            else:
                metrics.settled(run.ended)
                self._follow(run.following)

    def settle(self) -> None:
        """Write down what has ended, and take on what follows; or give the others away, when their
        time is over."""
        with self._lock:
            self._settle()
            age = monotonic() - self._began_at
            if self.is_late or age > MESSAGE_SECONDS:
                self._leave()
            elif self._size > 1 or age < ALONE_SECONDS:
                self._take_on()

    def leave(self) -> None:
        """The same, at any time."""
        with self._lock:
            try:
                self._settle()
            finally:
                self._leave()

    def _settle(self) -> None:
        following, lost = settled(self._ended)
        self._follow(following)
        metrics.settled(one for one in self._ended if one not in lost)
        self._ended = []
        self.counts.subtract(one.name for one in lost)
        self.counts["claim lost"] += len(lost)

    def _follow(self, following: Sequence[Follower]) -> None:
        """Keep what follows in the chains, to run or to publish it here; behind a retry it stays
        ready for the relay, which publishes it with others: by itself it would go on as this small
        message, one commit after the other, to the end of its chains."""
        if not self._is_retry:
            self._following += following

    def _take_on(self) -> None:
        self._next += (one for one in self._following if self._fits(one))
        self._following = [one for one in self._following if not self._fits(one)]

    def _fits(self, one: Follower) -> bool:
        """Return whether it could be in this message: of its handler and queue, and not alone."""
        if one.is_external or one.is_paused or (one.handler, one.queue) != self._kind:
            return False
        handler = registry.find(one.handler)
        if handler is None or self._size == 1:
            return handler is not None
        return not one.counted and most(handler, 0, allowed(handler, one.max_attempts)) > 1

    def _leave(self) -> None:
        self._following += self._next
        self._next.clear()
        if not self._waiting and not self._rest:
            return
        waiting = [claim for unit in self._waiting for claim in unit]
        heartbeat.drop(claim.running for claim in waiting)
        give_back(waiting)
        if self._rest:
            Delivery.objects.unmark_queued(self._rest)
        self._left += [*(claim.delivery.pk for claim in waiting), *self._rest]
        self._waiting.clear()
        self._rest.clear()

    def has_others(self) -> bool:
        """Whether there is something that need not wait for what runs."""
        return bool(self._rest or self._next or self._waiting or self._ended or self._following)

    def hand_on(self) -> None:
        """Publish what follows, and in messages of what fitted into the time what was left."""
        with self._lock:
            following, self._following = self._following, []
            left, self._left = self._left, []
        now = database_clock.now()
        if following:
            publish.publish_or_leave([one.id for one in following], now, size=MOST)
        if left:
            publish.publish_or_leave(left, now, size=max(1, self._done))

    def __str__(self) -> str:
        counts = {name: count for name, count in self.counts.items() if count}
        if counts.keys() and sum(counts.values()) == 1:
            return next(iter(counts))
        return ", ".join(f"{count} {name}" for name, count in counts.items())
