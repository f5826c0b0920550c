"""How many events to ask for, and when. Pure: no clock, no wire.

A subscriber gives the server credits, one for an event. Throughput is bounded by the credits over
the round trip, so those that are used are given anew at once, as long as what came is taken; a few
at a time, though: a request costs both sides more than an event does, and one that meets the end of
its call makes gRPC forget why the server ended it.
"""

from __future__ import annotations

MOST = 100  # outstanding; Salesforce allows no more
LEAST = 10  # to ask for; so throughput loses a tenth at most
#: Without credits the server closes the stream after 60 s.
TRICKLE_SECONDS = 30.0
#: Requests that are older than this have reached the server.
_SETTLED_SECONDS = 10.0


class Credits:
    """What was asked for and has not come. Times are seconds on one clock."""

    def __init__(self, now: float) -> None:
        self.outstanding = 0
        self._received = 0
        self._asked_at = now

    def received(self, events: int, pending: int, now: float) -> None:
        """A response with so many events; ``pending`` is the server's count, 0 if it has none."""
        self._received += events
        self.outstanding = max(0, self.outstanding - events)
        if 0 < pending < self.outstanding and now - self._asked_at >= _SETTLED_SECONDS:
            self.outstanding = pending

    def is_owed(self, pending: int, now: float) -> bool:
        """Whether the server knows of credits that it has not used: it says so, or has no count
        and must have seen the request: the first one, or one that is old."""
        is_seen = now - self._asked_at >= _SETTLED_SECONDS
        return pending > 0 or (self.outstanding if is_seen else MOST - self._received) > 0

    def asked(self, events: int, now: float) -> None:
        self.outstanding += events
        self._asked_at = now

    def due(self, now: float, *, is_full: bool) -> int:
        """How many to ask for now. Where too much waits to be taken, only what keeps the stream."""
        if not is_full:
            used = MOST - self.outstanding
            return used if used >= LEAST else 0
        return 1 if self.wait(is_full=True, now=now) == 0.0 else 0

    def wait(self, now: float, *, is_full: bool) -> float | None:
        """Seconds until something is due even if nothing happens; None: never."""
        if not is_full or self.outstanding:
            return None
        return max(0.0, self._asked_at + TRICKLE_SECONDS - now)
