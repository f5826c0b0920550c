"""What was received and is not recorded yet: bounded, so that a slow database slows the stream."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from itertools import islice

from consumer.ingest.transaction import Message, Moment

Received = Message | Moment

#: Bytes on the wire of what is outstanding, from which on nothing more is received.
FULL_BYTES = 16 * 1024 * 1024


class Buffer:
    """Messages from the receiving thread to the recording one, in order.

    A message counts as outstanding until it is recorded, not only until it is taken.
    """

    def __init__(self, limit: int, most_bytes: int = FULL_BYTES) -> None:
        #: The position that what comes next follows; None before the first subscription.
        self.follows: str | None = None
        self._limit = limit
        self._most_bytes = most_bytes
        self._bytes = 0
        self._shares: deque[int] = deque()  # of each outstanding message, in bytes
        self._messages: deque[Received] = deque()
        self._outstanding = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, messages: Iterable[Received], size: int = 0) -> None:
        """Add an answer's messages whole; wait first while the buffer is full. After `close` they
        are dropped: they are past the stored position and come again. `size`: what they had on the
        wire together, in bytes."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._is_full())
            if self._closed:
                return
            added = list(messages)
            self._messages.extend(added)
            self._outstanding += len(added)
            share = size // len(added) if added else 0
            self._shares.extend([share] * len(added))
            self._bytes += share * len(added)
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Until there is something to take, or no more will come; whether within that time."""
        with self._changed:
            return bool(self._changed.wait_for(lambda: self._messages or self._closed, seconds))

    def take(self, most: int, wait: float) -> list[Received]:
        """Up to `most` messages: as soon as there are that many, or `wait` seconds after the first
        was seen. Empty once the buffer is closed and taken to its end."""
        with self._changed:
            self._changed.wait_for(lambda: self._messages or self._closed)
            deadline = time.monotonic() + wait
            while len(self._messages) < most and not self._closed:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            return [self._messages.popleft() for _ in range(min(most, len(self._messages)))]

    def next(self, most: int) -> list[Received]:
        """Up to `most` of those that will be taken, as far as they are there."""
        with self._changed:
            return list(islice(self._messages, most))

    def done(self, count: int) -> None:
        with self._changed:
            self._outstanding -= count
            for _ in range(count):
                self._bytes -= self._shares.popleft()
            self._changed.notify_all()

    def close(self) -> None:
        """No more will come; what is there is still taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def discard(self) -> None:
        """Close, and forget what nobody has taken: it is past the stored position, and stays
        outstanding."""
        with self._changed:
            self._messages.clear()
            self._closed = True
            self._changed.notify_all()

    def wait_until_recorded(self) -> None:
        """Until nothing is outstanding, or the buffer was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._outstanding == 0)

    @property
    def outstanding(self) -> int:
        return self._outstanding

    def _is_full(self) -> bool:
        return self._outstanding >= self._limit or self._bytes >= self._most_bytes
