"""Publishes committed deliveries to the broker in one thread for all listeners of a process.

One batch is published while the next is recorded. Publishing here is best effort: deliveries that
it drops are in the database, and the relay publishes them.
"""

from __future__ import annotations

import threading
import time

import structlog
from django.db import connection

from audit.db.retry import TRANSIENT
from audit.internal_errors import step
from consumer.gaps import plan
from handlers.broker import BrokerUnavailable
from handlers.outbox import handover
from handlers.outbox.handover import DeliveriesToPublish
from listeners.backoff import Backoff
from listeners.clock import database_clock
from listeners.threads import OVER, BackgroundThread

log = structlog.get_logger(__name__)

#: Seconds without publishing to our broker after it or the database failed.
BROKER_PAUSE_SECONDS = 10.0
#: Seconds without work after which the database connection is closed.
IDLE_SECONDS = 10.0
#: Above so many waiting deliveries, further ones are left to the relay: the broker is too slow.
MOST = 20_000


class Publisher:
    def __init__(self) -> None:
        self.thread = BackgroundThread(
            step(
                "publish",
                self._publish_next,
                "Deliveries are published some seconds late, by the relay.",
                backoff=Backoff(0.5, 10.0),
            )
        )
        self._to_publish = DeliveriesToPublish()
        self._listeners_to_read: set[int] = set()
        self._no_broker_before = 0.0
        self._is_over = False
        self._changed = threading.Condition()

    def stop(self) -> None:
        """Accept nothing more, and end once the waiting deliveries are published. Returns at
        once."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def publish(
        self, to_publish: DeliveriesToPublish, *, read_records_of: int | None = None
    ) -> None:
        """Publish these deliveries soon, and start the planned reads of records of the listener
        `read_records_of`. Returns at once."""
        if not to_publish and read_records_of is None:
            return
        with self._changed:
            if self._is_over or len(self._to_publish) > MOST:
                return
            self._to_publish.add(to_publish)
            if read_records_of is not None:
                self._listeners_to_read.add(read_records_of)
            self._changed.notify_all()

    def _publish_next(self) -> object:
        """Wait for work and do it. What fails is dropped, and left to the relay."""
        with self._changed:
            while not (self._to_publish or self._listeners_to_read):
                if self._is_over:
                    return OVER
                if not self._changed.wait(IDLE_SECONDS):
                    connection.close()
            work = self._to_publish, self._listeners_to_read
            self._to_publish, self._listeners_to_read = DeliveriesToPublish(), set()
        self._publish(*work)
        return None

    def _publish(self, to_publish: DeliveriesToPublish, listeners_to_read: set[int]) -> None:
        if time.monotonic() < self._no_broker_before:  # other brokers may be up
            to_publish, listeners_to_read = DeliveriesToPublish(ready=to_publish.ready), set()
        try:
            handover.publish(to_publish, database_clock.now())
            for listener_id in listeners_to_read:
                plan.start(listener_id, database_clock.now())
        except (BrokerUnavailable, *TRANSIENT) as error:
            self._no_broker_before = time.monotonic() + BROKER_PAUSE_SECONDS
            connection.close()
            log.warning(
                "deliveries will be published later", deliveries=len(to_publish), reason=str(error)
            )
