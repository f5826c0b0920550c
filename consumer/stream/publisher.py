"""Committed deliveries → broker, beside the recording: one thread for all listeners of a process.

While one batch is published the next is recorded. It promises nothing: what it has no time or no
broker for is written down in the database, and the relay finds it there.
"""

from __future__ import annotations

import threading
import time

import structlog
from django.db import connection

from audit.db.errors import TRANSIENT
from consumer.gaps import plan
from handlers.outbox import handover
from handlers.outbox import publish as outbox_publish
from handlers.outbox.handover import Parcel
from listeners.clock import database_clock

log = structlog.get_logger(__name__)

#: A broker that hangs is not asked again for so long.
BROKER_PAUSE_SECONDS = 10.0
#: Without anything to publish for so long, the connection to the database is given back.
IDLE_SECONDS = 10.0
#: Deliveries that wait here at most: past that the broker is too slow for the listeners.
MOST = 20_000


class Publisher:
    def __init__(self) -> None:
        self._parcel = Parcel()
        self._reads: set[int] = set()
        self._no_broker_before = 0.0
        self._is_over = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Once what it has is published. Returns at once."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def publish(self, parcel: Parcel, *, reads_of: int | None = None) -> None:
        """Soon: these deliveries, and that records of this listener are to be read. Returns at
        once."""
        if not parcel and reads_of is None:
            return
        with self._changed:
            if self._is_over or len(self._parcel) > MOST:
                return
            self._parcel.add(parcel)
            if reads_of is not None:
                self._reads.add(reads_of)
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while work := self._next():
                self._publish(*work)
        finally:
            connection.close()

    def _next(self) -> tuple[Parcel, set[int]] | None:
        """What there is, as soon as there is something; None once it is over."""
        with self._changed:
            while not (self._parcel or self._reads):
                if self._is_over:
                    return None
                if not self._changed.wait(IDLE_SECONDS):
                    connection.close()
            work = self._parcel, self._reads
            self._parcel, self._reads = Parcel(), set()
        return work

    def _publish(self, parcel: Parcel, reads: set[int]) -> None:
        if time.monotonic() < self._no_broker_before:
            return
        try:
            handover.publish(parcel, database_clock.now())
            for listener_id in reads:
                plan.ask(listener_id, database_clock.now())
        except (outbox_publish.BrokerUnavailable, *TRANSIENT) as error:
            self._no_broker_before = time.monotonic() + BROKER_PAUSE_SECONDS
            connection.close()
            log.warning("published later", deliveries=len(parcel), reason=str(error))
        except Exception:  # nobody foresaw it, and it may pass
            log.exception("unforeseen", thread="publish")
            connection.close()
