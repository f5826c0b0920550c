"""The buffer of received messages that are not recorded yet, bounded so that a slow database slows
the stream."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from itertools import islice

from consumer.ingest.transaction import KeepAlive, Message
from consumer.stream.room import LONGEST_WAIT, OWN_BYTES, ROOM, Room, Turn

Received = Message | KeepAlive

#: The wire size of outstanding messages, in bytes, at which the buffer is full.
FULL_BYTES = 16 * 1024 * 1024


class Buffer:
    """Messages from the receiving thread to the recording one, in order.

    A message counts as outstanding until it is recorded, not only until it is taken.
    """

    def __init__(self, limit: int, most_bytes: int = FULL_BYTES, room: Room = ROOM) -> None:
        """`room` is shared with the other listeners of the process."""
        #: The `Position.position_token` that is expected when the next message is recorded; None
        #: before the first subscription.
        self.expected_position: str | None = None
        #: Whether the position stays before the newest id (consumer.ingest.shared_ids).
        self.is_held_back = False
        self._limit = limit
        self._most_bytes = most_bytes
        self._bytes = 0
        self._sizes: deque[int] = deque()  # of each outstanding message, in bytes
        self._messages: deque[Received] = deque()
        self._outstanding = 0
        self._closed = False
        self._changed = threading.Condition()
        self._room = room
        self._reserved = 0  # bytes of a response that was not put yet
        self._turn: Turn | None = None

    def begin(self, position: str) -> None:
        """Expect the messages that come after this stored position."""
        self.expected_position, self.is_held_back = position, False

    def reserve(self, size: int) -> None:
        """Wait until the process has room for a response of `size` bytes that is not parsed yet.

        The room is used by `put`, or given back by `cancel`. After `close` nothing is reserved.
        """
        with self._changed:
            self._reserve(-self._reserved)  # of a response without messages
            if self._closed:
                return
            if self._bytes + size <= OWN_BYTES:
                self._reserve(size)
                return
            self._turn = turn = self._room.queue(size)
        turn.has_come.wait(LONGEST_WAIT)
        self._take(turn)

    def _take(self, turn: Turn) -> None:
        with self._changed:
            self._turn = None
            self._room.take(turn)
            self._reserved = turn.size
            if self._closed:
                self._reserve(-turn.size)

    def cancel(self) -> None:
        """Give back the room that was reserved and not used."""
        with self._changed:
            self._reserve(-self._reserved)

    def _reserve(self, size: int) -> None:
        self._room.add(size)
        self._reserved += size

    def put(self, messages: Iterable[Received], size: int = 0) -> None:
        """Add all messages of a response; first wait while the buffer is full.

        After `close` they are dropped: they are past the stored position and come again. `size`:
        their wire size together, in bytes.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._is_full())
            if self._closed:
                return
            added = list(messages)
            self._messages.extend(added)
            self._outstanding += len(added)
            average = size // len(added) if added else 0
            self._sizes.extend([average] * len(added))
            self._bytes += average * len(added)
            self._room.add(average * len(added))
            self._reserve(-self._reserved)
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait until there is a message or the buffer is closed; return whether that was so within
        `seconds`."""
        with self._changed:
            return bool(self._changed.wait_for(lambda: self._messages or self._closed, seconds))

    def take(self, most: int, wait: float) -> list[Received]:
        """Take up to `most` messages, as soon as there are that many or `wait` seconds after the
        first was seen. Empty once the buffer is closed and has no message left."""
        with self._changed:
            self._changed.wait_for(lambda: self._messages or self._closed)
            deadline = time.monotonic() + wait
            while len(self._messages) < most and not self._closed:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            return [self._messages.popleft() for _ in range(min(most, len(self._messages)))]

    def peek(self, most: int) -> list[Received]:
        """Return up to `most` messages without taking them."""
        with self._changed:
            return list(islice(self._messages, most))

    def done(self, count: int) -> None:
        """Count the oldest messages as recorded."""
        with self._changed:
            self._outstanding -= count
            recorded = sum(self._sizes.popleft() for _ in range(count))
            self._bytes -= recorded
            self._room.add(-recorded)
            self._changed.notify_all()

    def close(self) -> None:
        """Accept no more messages; those in the buffer can still be taken."""
        with self._changed:
            self._close()

    def discard(self) -> None:
        """Close, and drop the messages that were not taken: they are past the stored position. They
        still count as outstanding."""
        with self._changed:
            self._messages.clear()
            self._room.add(-self._bytes)
            self._reserve(-self._reserved)
            self._sizes.clear()
            self._bytes = 0
            self._close()

    def _close(self) -> None:
        self._closed = True
        if self._turn is not None:
            self._turn.has_come.set()
        self._changed.notify_all()

    def wait_until_recorded(self) -> None:
        """Wait until no message is outstanding, or the buffer is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._outstanding == 0)

    @property
    def outstanding(self) -> int:
        return self._outstanding

    def _is_full(self) -> bool:
        return self._outstanding >= self._limit or self._bytes >= self._most_bytes
