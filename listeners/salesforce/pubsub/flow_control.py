"""Flow control: how many events to request from the server, and when. Without I/O.

A subscriber grants the server credits, one for each event. Throughput is limited to credits per
round trip, so used credits are granted again soon, as long as received events are taken. They are
granted several at a time: a request costs more than an event, and a request that is sent while the
server ends the call makes gRPC lose the server's error.
"""

from __future__ import annotations

MOST = 100  # outstanding credits; Salesforce's maximum
LEAST = 10  # credits in a request, which reduces throughput by a tenth at most
#: How often to grant a credit while the inbox is full: the server closes a stream that has had no
#: credits for 60 s.
TRICKLE_SECONDS = 30.0
#: A request that is older than this has reached the server.
_SETTLED_SECONDS = 10.0


class Credits:
    """The credits of a stream that are granted and not used. Times are seconds on one clock."""

    def __init__(self, now: float) -> None:
        self.outstanding = 0
        self._received = 0
        self._asked_at = now

    def received(self, events: int, pending: int, now: float) -> None:
        """Count a response; ``pending`` is the server's number of open credits, 0 if unknown."""
        self._received += events
        self.outstanding = max(0, self.outstanding - events)
        if 0 < pending < self.outstanding and now - self._asked_at >= _SETTLED_SECONDS:
            self.outstanding = pending

    def is_owed(self, pending: int, now: float) -> bool:
        """Return whether the server has credits that it has not used.

        Either it sends their number, or the first request or an old one must have reached it.
        """
        is_seen = now - self._asked_at >= _SETTLED_SECONDS
        return pending > 0 or (self.outstanding if is_seen else MOST - self._received) > 0

    def asked(self, events: int, now: float) -> None:
        """Count a request for events."""
        self.outstanding += events
        self._asked_at = now

    def due(self, now: float, *, is_full: bool) -> int:
        """Return the credits to grant now; with a full inbox, only enough to keep the stream."""
        if not is_full:
            used = MOST - self.outstanding
            return used if used >= LEAST else 0
        return 1 if self.wait(is_full=True, now=now) == 0.0 else 0

    def wait(self, now: float, *, is_full: bool) -> float | None:
        """Return the seconds until credits are due without another event; None for never."""
        if not is_full or self.outstanding:
            return None
        return max(0.0, self._asked_at + TRICKLE_SECONDS - now)
