"""The buffer of received events between the event loop, which fills it, and ``poll``."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from listeners.salesforce.errors import StreamClosed
from listeners.salesforce.pubsub.wire.pubsub_api_pb2 import ConsumerEvent

FULL_EVENTS = 2_000
FULL_BYTES = 4 * 1024 * 1024
#: From FULL on no more events are requested; from OVERFULL on none are read either.
FULL = 1.0
OVERFULL = 2.0


class Inbox:
    """Received events in order, followed by the failure that ended the stream, if any."""

    def __init__(self, has_room: Callable[[], None]) -> None:
        """``has_room`` is called, on the taking thread, when the inbox is no longer full."""
        self._changed = threading.Condition()
        self._events: deque[ConsumerEvent] = deque()
        self._bytes = 0
        self._keep_alive: bytes | None = None  # the latest replay id, or empty
        self._failure: BaseException | None = None
        self._is_left = False
        self._is_closed = False
        self._has_room = has_room

    @property
    def has_result_ready(self) -> bool:
        with self._changed:
            return self._is_ready()

    @property
    def has_failed(self) -> bool:
        with self._changed:
            return self._failure is not None or self._is_closed

    @property
    def fullness(self) -> float:
        """The size relative to ``FULL_EVENTS`` or ``FULL_BYTES``, whichever is more.

        At least ``FULL`` after ``leave``.
        """
        with self._changed:
            return self._fullness()

    def put(self, events: Sequence[ConsumerEvent], latest: bytes) -> None:
        """Add a response; ignored after a failure, which may have dropped events before it.

        A response without events is a keep-alive, until events arrive: the server has no events up
        to ``latest``, which is empty if it did not send a replay id.
        """
        with self._changed:
            if self._failure is not None:
                return
            self._events.extend(events)
            self._bytes += sum(len(event.event.payload) for event in events)
            self._keep_alive = None if events else latest
            self._changed.notify_all()

    def fail(self, failure: BaseException) -> None:
        """Set the failure that ends the stream; only the first one counts."""
        with self._changed:
            self._failure = self._failure or failure
            self._changed.notify_all()

    def fail_at_once(self, failure: BaseException) -> None:
        """Set the failure and drop the waiting events, which Salesforce sends again."""
        with self._changed:
            self._events.clear()
            self._bytes, self._keep_alive = 0, None
            self._failure = failure
            self._changed.notify_all()

    def raise_failure(self) -> None:
        """Raise the failure if there is one and no events are waiting."""
        with self._changed:
            if self._failure is not None and not self._events:
                raise self._failure

    def leave(self) -> None:
        """Stop waiting for events and requesting them."""
        with self._changed:
            self._is_left = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def take(self, most: int) -> tuple[list[ConsumerEvent], bytes]:
        """Wait for events, and return at most ``most``; for a keep-alive none, and its replay id.

        Raises the failure after the last event, and StreamClosed if the inbox is closed.
        """
        with self._changed:
            self._changed.wait_for(self._is_ready)
            if self._is_closed:
                raise StreamClosed
            if not self._events:
                latest, self._keep_alive = self._keep_alive, None
                if latest is None:
                    raise self._failure or StreamClosed()
                return [], latest
            taken, had_room = self._taken(most)
        if not had_room:
            self._has_room()
        return taken, b""

    def _taken(self, most: int) -> tuple[list[ConsumerEvent], bool]:
        had_room = self._fullness() < FULL
        taken = [self._events.popleft() for _ in range(min(most, len(self._events)))]
        self._bytes -= sum(len(event.event.payload) for event in taken)
        return taken, had_room

    def _is_ready(self) -> bool:
        is_over = self._failure or self._is_left or self._is_closed
        return bool(self._events or self._keep_alive is not None or is_over)

    def _fullness(self) -> float:
        least = FULL if self._is_left else 0.0
        return max(len(self._events) / FULL_EVENTS, self._bytes / FULL_BYTES, least)
