"""Reads reports on Redis, where they stay in their queue until they are acknowledged.

Kombu's consumer takes a message out of its list before it stores it elsewhere, and loses it if its
process is killed in between.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from typing import Any

from kombu.message import Message
from redis import Redis

from handlers.tracking.reports import BATCH, reports_queue

#: Seconds until another courier reads, after one was killed while it had reports.
LOCK_SECONDS = 10
#: Seconds between two reads. Each read without reports doubles the pause; an idle courier takes
#: 0.3 % of a core.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.1
#: Seconds of the pause for each report that was read, within these limits: the more reports come,
#: the more of them are settled in one transaction.
PAUSE_PER_REPORT = 0.002
#: A worker gives a report the priority of its task; each has a list of its own.
PRIORITIES = range(10)


class RedisReports:
    """The reports queue of a Redis broker. One courier at a time reads it, under a lock.

    The lock only spares work: reports are removed by their values, and settling one twice is
    harmless.
    """

    def __init__(self, channel: Any) -> None:
        # Kombu's client adds the prefix to the keys of some commands only.
        queue = f"{channel.global_keyprefix}{reports_queue()}"
        self._channel = channel
        with channel.conn_or_acquire() as client:
            self._client: Any = Redis(connection_pool=client.connection_pool)
        self._keys = [queue + (f"{channel.sep}{n}" if n else "") for n in PRIORITIES]
        self._lock, self._owner = f"{queue}.reader", uuid.uuid4().hex
        self._items: list[tuple[str, bytes]] = []
        self._pause = SHORTEST_PAUSE
        self._read_at = self._all_read_at = -math.inf

    def read(self) -> list[Message]:
        """Return the oldest reports, up to a batch; none if another courier reads."""
        if len(self._items) < BATCH:
            time.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._items, self._read_at = [], time.monotonic()
        if not self._client.exists(*self._keys):
            self._all_read_at = self._read_at
        elif self._client.set(self._lock, self._owner, nx=True, ex=LOCK_SECONDS):
            if items := self._oldest():
                pause = max(SHORTEST_PAUSE, len(items) * PAUSE_PER_REPORT)
                self._items, self._pause = items, min(pause, LONGEST_PAUSE)
            else:
                self.acknowledge()
        return [self._message(item) for _, item in self._items]

    def acknowledge(self) -> None:
        """Remove the reports that were read last, and let other couriers read.

        A courier whose lock has expired leaves them to the next one.
        """
        if len(self._items) < BATCH:
            self._all_read_at = self._read_at

        def remove(transaction: Any) -> None:
            if transaction.get(self._lock) != self._owner.encode():
                return
            transaction.multi()
            for key, item in self._items:
                transaction.lrem(key, -1, item)  # the search begins at the oldest
            transaction.delete(self._lock)

        self._client.transaction(remove, self._lock)

    def unseen_seconds(self) -> float:
        """Return for how many seconds there may be reports that this courier has not seen."""
        return time.monotonic() - self._all_read_at

    def _oldest(self) -> list[tuple[str, bytes]]:
        with self._client.pipeline(transaction=False) as pipeline:
            for key in self._keys:
                pipeline.lrange(key, -BATCH, -1)
            lists = pipeline.execute()
        oldest = [
            (key, item)
            for key, items in zip(self._keys, lists, strict=True)
            for item in reversed(items)
        ]
        return oldest[:BATCH]

    def _message(self, item: bytes) -> Message:
        """Return an item as a message, without a body if it is none."""
        try:
            message: Message = self._channel.Message(json.loads(item), channel=self._channel)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return Message()  # type: ignore[no-untyped-call]
        return message
