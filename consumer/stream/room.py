"""The room in memory for received messages: a limit that all listeners of a process share.

Messages take about six times their wire size once they are parsed. Without a common limit, two
hundred listeners that receive many changes at the same time would parse them all at once.
"""

from __future__ import annotations

import threading
from collections import deque

#: The wire size, in bytes, of the messages that may be parsed and not recorded yet.
MOST_BYTES = 8 * 1024 * 1024
#: The wire size, in bytes, for which a listener never waits: a single change is recorded at once.
OWN_BYTES = 32 * 1024
#: The longest wait in seconds, so that a listener whose changes cannot be recorded delays others
#: but does not stop them. Salesforce drops a session of CometD that does not poll for 40 s.
LONGEST_WAIT = 30.0


class Turn:
    """A place in the queue for room."""

    def __init__(self, size: int) -> None:
        self.size = size
        #: Set when there is room, or when its listener no longer waits.
        self.has_come = threading.Event()


class Room:
    """Gives room in the order in which it was asked for. The last one admitted may exceed the
    limit, so that a message of any size is admitted."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._used = 0
        self._queue: deque[Turn] = deque()
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        return self._used

    def queue(self, size: int) -> Turn:
        """Return a turn, which may have come already. `take` it once it has come, or before."""
        turn = Turn(size)
        with self._lock:
            self._queue.append(turn)
            self._admit()
        return turn

    def take(self, turn: Turn) -> None:
        """Use the room of a turn, even if it has not come."""
        with self._lock:
            if turn in self._queue:
                self._queue.remove(turn)
                self._used += turn.size

    def add(self, size: int) -> None:
        """Use room without a turn, or give it back with a negative size."""
        with self._lock:
            self._used += size
            self._admit()

    def _admit(self) -> None:
        while self._queue and self._used < self._most:
            turn = self._queue.popleft()
            self._used += turn.size
            turn.has_come.set()


#: The room of this process.
ROOM = Room()
