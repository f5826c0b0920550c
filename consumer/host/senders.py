"""The senders of a listener process: a thread for each destination sends its external tasks.

A broker that does not answer blocks its own thread alone. What a sender does not send, or drops,
is ready in the database, and a relay offers it again.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from audit.internal_errors import step
from handlers.broker import BrokerUnavailable
from handlers.models import Delivery
from handlers.outbox import publish
from handlers.tracking import send
from listeners.clock import database_clock
from listeners.threads import OVER, BackgroundThread

#: Seconds without work after which a thread ends.
IDLE_SECONDS = 10.0
#: Above so many waiting deliveries of a destination, further ones are left to the relay.
MOST = 20_000


class _Sender:
    """Sends what it was offered, a batch at a time, until it is stopped or has been idle."""

    def __init__(self, destination: str, has_ended: Callable[[], bool]) -> None:
        """`has_ended` returns whether nothing more will be offered; it is called when idle."""
        where = f"of destination {destination}" if destination else "on our own broker"
        self.thread = BackgroundThread(
            step(
                f"send {destination}".strip(),
                self._send_next,
                f"External tasks {where} are not sent by this process.",
                expected=(BrokerUnavailable,),  # of our own broker
            )
        )
        self._has_ended = has_ended
        self.offered: dict[int, None] = {}
        self._is_over = False
        self._changed = threading.Condition()

    def offer(self, ids: Collection[int]) -> None:
        with self._changed:
            if not self._is_over and len(self.offered) < MOST:
                self.offered |= dict.fromkeys(ids)
                self._changed.notify_all()

    def stop(self) -> None:
        """End after the batch that is being sent. Returns at once."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        self.thread.stop()

    def _send_next(self) -> object:
        """Wait for work and send a batch."""
        with self._changed:
            is_idle = not self._changed.wait_for(
                lambda: self.offered or self._is_over, IDLE_SECONDS
            )
            ids = [] if self._is_over else list(self.offered)[: send.BATCH]
            for pk in ids:
                del self.offered[pk]
        if ids:
            send.send_external(ids, database_clock.now(), lambda: self._is_over)
        return OVER if self._is_over or (is_idle and self._has_ended()) else None


class Senders:
    """Takes the external deliveries that this process publishes, from `start` to `join`."""

    def __init__(self) -> None:
        self._senders: dict[int | None, _Sender] = {}
        self._lock = threading.Lock()
        self._is_over = False

    def start(self) -> None:
        publish.senders.append(self._offer)

    def stop(self) -> None:
        """Take nothing more, and end the threads after their batches. Returns at once.

        What is offered from now on is left to another process.
        """
        with self._lock:
            self._is_over = True
            senders = list(self._senders.values())
        for sender in senders:
            sender.stop()

    def join(self, timeout: float) -> None:
        by = time.monotonic() + timeout
        for sender in list(self._senders.values()):
            sender.thread.join(max(0.0, by - time.monotonic()))
        if self._offer in publish.senders:
            publish.senders.remove(self._offer)

    def _offer(self, ids: Sequence[int], _: datetime) -> int:
        """Give deliveries to the threads of their destinations; return 0, as none is sent yet."""
        by_destination: defaultdict[tuple[int | None, str], list[int]] = defaultdict(list)
        rows = Delivery.objects.filter(pk__among=list(ids)).order_by("id")
        columns = "pk", "mapping__destination", "mapping__destination__name"
        for pk, destination, name in rows.values_list(*columns):
            by_destination[destination, name or ""].append(pk)
        with self._lock:
            if self._is_over:
                return 0
            for (destination, name), own in by_destination.items():
                if destination not in self._senders:
                    self._senders[destination] = self._sender(destination, name)
                    self._senders[destination].thread.start()
                self._senders[destination].offer(own)
        return 0

    def _sender(self, destination: int | None, name: str) -> _Sender:
        def has_ended() -> bool:
            with self._lock:
                if self._is_over or self._senders[destination].offered:
                    return False
                del self._senders[destination]
                return True

        return _Sender(name, has_ended)
