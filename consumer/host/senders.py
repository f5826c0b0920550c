"""The senders of a listener process: a thread for each destination sends its external tasks.

A broker that does not answer blocks its own thread alone. What a sender does not send, or drops,
is ready in the database, and a relay offers it again.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime

import structlog
from django.db import connection

from audit.db.retry import suppress_transient_errors
from handlers.broker import BrokerUnavailable
from handlers.models import Delivery
from handlers.outbox import publish
from handlers.tracking import send
from listeners.clock import database_clock

log = structlog.get_logger(__name__)

#: Seconds without work after which the database connection is closed.
IDLE_SECONDS = 10.0
#: Above so many waiting deliveries of a destination, further ones are left to the relay.
MOST = 20_000


class _Sender(threading.Thread):
    """Sends what it was offered, a batch at a time, until it is stopped."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._offered: dict[int, None] = {}
        self._is_over = False
        self._changed = threading.Condition()

    def offer(self, ids: Collection[int]) -> None:
        with self._changed:
            if not self._is_over and len(self._offered) < MOST:
                self._offered |= dict.fromkeys(ids)
                self._changed.notify_all()

    def stop(self) -> None:
        """End after the batch that is being sent. Returns at once."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def run(self) -> None:
        try:
            while ids := self._next():
                self._send(ids)
        finally:
            connection.close()

    def _next(self) -> list[int]:
        """Wait for work and return a batch; empty once the sender was stopped."""
        with self._changed:
            while not self._offered and not self._is_over:
                if not self._changed.wait(IDLE_SECONDS):
                    connection.close()
            if self._is_over:
                return []
            ids = list(self._offered)[: send.BATCH]
            for pk in ids:
                del self._offered[pk]
        return ids

    def _send(self, ids: list[int]) -> None:
        try:
            with suppress_transient_errors(self.name):
                send.send_external(ids, database_clock.now(), lambda: self._is_over)
        except BrokerUnavailable as error:  # of our own broker
            log.warning("external tasks will be sent later", reason=str(error))
        except Exception:  # the thread must survive
            log.exception("unexpected error", thread=self.name)
            connection.close()


class Senders:
    """Takes the external deliveries that this process publishes, from `start` to `join`."""

    def __init__(self) -> None:
        self._threads: dict[int | None, _Sender] = {}
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
            threads = list(self._threads.values())
        for thread in threads:
            thread.stop()

    def join(self, timeout: float) -> None:
        by = time.monotonic() + timeout
        for thread in self._threads.values():
            thread.join(max(0.0, by - time.monotonic()))
        if self._offer in publish.senders:
            publish.senders.remove(self._offer)

    def _offer(self, ids: Sequence[int], _: datetime) -> int:
        """Give deliveries to the threads of their destinations; return 0, as none is sent yet."""
        by_destination: defaultdict[int | None, list[int]] = defaultdict(list)
        rows = Delivery.objects.filter(pk__among=list(ids)).order_by("id")
        for pk, destination in rows.values_list("pk", "mapping__destination_id"):
            by_destination[destination].append(pk)
        with self._lock:
            if self._is_over:
                return 0
            for destination, own in by_destination.items():
                if destination not in self._threads:
                    name = f"send to destination {destination or ''}".rstrip()
                    self._threads[destination] = _Sender(name)
                    self._threads[destination].start()
                self._threads[destination].offer(own)
        return 0
