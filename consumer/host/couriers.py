"""The couriers of a listener process: a thread for each destination reads the reports of tracked
external tasks and settles their deliveries."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, suppress
from datetime import timedelta
from math import isfinite
from typing import Any

import structlog
from django.db import Error, connection

from audit.internal_errors import step
from consumer.monitoring import destinations
from handlers.broker import BrokerUnavailable
from handlers.external import apps
from handlers.models import Destination
from handlers.outbox import publish
from handlers.outbox.message_size import MOST
from handlers.tracking import metrics
from handlers.tracking.courier import Courier
from handlers.tracking.events import EventReader
from handlers.tracking.overdue import destinations_to_read, end_unreported
from listeners.backoff import Backoff
from listeners.clock import database_clock
from listeners.threads import BackgroundThread, for_each

log = structlog.get_logger(__name__)

#: Seconds between two looks for destinations to read.
LOOK_SECONDS = 2.0
#: Seconds between two looks for overdue reports of a destination.
OVERDUE_SECONDS = 5.0
#: Seconds of failing reads after which the incident of the destination says so.
UNREAD_SECONDS = 60.0
#: Seconds of failing reads, and after their deadline, at which attempts end because their
#: destination does not come back.
UNREADABLE_SECONDS = 3600.0
#: Seconds after their deadline at which attempts end although no connection lasts: the reports that
#: a broken one had received have come back by then. A longer gap between two connections is a
#: destination that was away.
BREAKING_SECONDS = 300.0
GAP_SECONDS = 60.0
RECONNECT = Backoff(1.0, 15.0)
#: Seconds between two looks whether a database that was unavailable answers again.
DATABASE_SECONDS = 2.0
#: How long nothing is read after a database error. RabbitMQ drops the messages of a quorum queue
#: that were delivered and returned too often.
DATABASE_PAUSES = Backoff(1.0, 300.0)


class Reader:
    """Reads from a destination's broker until it is stopped, and reconnects after errors."""

    def __init__(self, name: str, source: Courier | EventReader, consequence: str) -> None:
        self.destination = source.destination
        self.thread = BackgroundThread(
            step(
                name,
                self._read_next,
                consequence,
                expected=(BrokerUnavailable,),
                backoff=RECONNECT,
            ),
            finish=self._disconnect,
        )
        self._source = source
        self._stopped = threading.Event()
        self._open = ExitStack()
        self._queue: Any = None
        self._connected_at = time.monotonic()
        self._failing_since: float | None = None
        self._database_pauses = DATABASE_PAUSES.delays()

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self.thread.stop()

    def _read_next(self) -> None:
        """Read a batch, after connecting if there is no connection. An error ends the
        connection."""
        try:
            if self._queue is None:
                self._queue = self._open.enter_context(self._source.reading())
                self._connected_at = time.monotonic()
            self._handle_batch(self._queue)
        except Error as error:
            self._disconnect()
            log.warning(self._source.database_error, reason=str(error).strip())
            self._failing_since = None  # not the broker's failure
            self._stopped.wait(next(self._database_pauses))
            self._await_database()
            raise
        except Exception as error:
            self._disconnect()
            if isinstance(error, BrokerUnavailable):
                self._after_failure(str(error))
            else:
                self._after_failure(f"unexpected {type(error).__name__}", is_expected=False)
            raise
        self._failing_since, self._database_pauses = None, DATABASE_PAUSES.delays()

    def _disconnect(self) -> None:
        """Close the connection; what was read and not acknowledged stays in its queue."""
        opened, self._open, self._queue = self._open, ExitStack(), None
        with suppress(BrokerUnavailable):
            opened.close()

    def _await_database(self) -> None:
        """Wait until the database answers."""
        while not self._stopped.is_set():
            connection.close()
            try:
                connection.ensure_connection()
                return
            except Error:
                self._stopped.wait(DATABASE_SECONDS)

    def _handle_batch(self, source: Any) -> None:
        with apps.errors(self.destination):
            self._source.handle_batch(source)

    def _after_failure(self, reason: str, *, is_expected: bool = True) -> None:
        pass


class CourierReader(Reader):
    """Reads the reports of a destination, and ends its attempts that were not reported in time."""

    def __init__(self, destination: Destination | None) -> None:
        self._courier = Courier(destination)
        where = f"of destination {self._courier.name}" if destination else "on our own broker"
        super().__init__(
            f"courier {self._courier.name}".strip(),
            self._courier,
            f"Outcomes of tasks {where} are not recorded by this process.",
        )
        self._looked_at = self._read_at = self._reading_since = float("-inf")
        self._events: Reader | None = None
        if destination is not None and destination.worker_events:
            self._events = Reader(
                f"events {destination.name}",
                EventReader(destination),
                f"Tasks of destination {destination.name} are not shown as running, and errors "
                "lack their traceback.",
            )

    def start(self) -> None:
        super().start()
        if self._events:
            self._events.start()

    def stop(self) -> None:
        super().stop()
        if self._events:
            self._events.stop()

    def _handle_batch(self, source: Any) -> None:
        with apps.errors(self.destination):
            self._courier.handle_batch(source)
            now = time.monotonic()
            if now - self._read_at > GAP_SECONDS:
                self._reading_since = now
            self._read_at = now
            if now - self._looked_at < OVERDUE_SECONDS:
                return
            unseen = source.unseen_seconds()
        self._looked_at = time.monotonic()
        if self._looked_at - self._connected_at >= unseen:
            self._end_unreported(unseen)
        elif self._looked_at - self._reading_since >= BREAKING_SECONDS and isfinite(unseen):
            self._end_unreported(BREAKING_SECONDS)

    def _after_failure(self, reason: str, *, is_expected: bool = True) -> None:
        if not is_expected:
            metrics.count(self._courier.name, "error", 1)
        now = time.monotonic()
        self._failing_since = now if self._failing_since is None else self._failing_since
        failing_seconds = now - self._failing_since
        if self.destination is not None and failing_seconds >= UNREAD_SECONDS:
            destinations.report_unread(self.destination, reason, database_clock.now())
        if failing_seconds >= UNREADABLE_SECONDS:
            self._end_unreported(UNREADABLE_SECONDS)

    def _end_unreported(self, overdue_seconds: float) -> None:
        """End the attempts that have been overdue for some seconds."""
        following = end_unreported(self.destination, timedelta(seconds=overdue_seconds))
        if following:
            publish.publish_or_leave(following, database_clock.now(), size=MOST)


class Couriers:
    """Starts and stops the couriers of this process as mappings and destinations change."""

    def __init__(self) -> None:
        self._couriers: dict[int | None, CourierReader] = {}
        self._leaving: list[CourierReader] = []
        self._is_over = False
        looking = step(
            "couriers",
            self.refresh,
            "Outcomes of tasks of new and changed destinations are not recorded by this process.",
        )
        self._thread = BackgroundThread(looking, every=LOOK_SECONDS)

    def start(self) -> None:
        self._thread.start()

    def refresh(self) -> None:
        wanted = {
            destination.pk if destination else None: destination
            for destination in destinations_to_read()
        }
        self._leaving = [courier for courier in self._leaving if courier.thread.is_alive()]
        for pk, courier in list(self._couriers.items()):
            if pk not in wanted or _values(courier.destination) != _values(wanted[pk]):
                courier.stop()
                self._leaving.append(self._couriers.pop(pk))
        for_each(wanted.items(), self._host, name=lambda item: str(item[1] or "our own broker"))

    def _host(self, item: tuple[int | None, Destination | None]) -> None:
        pk, destination = item
        if not self._is_over and pk not in self._couriers:
            self._couriers[pk] = courier = CourierReader(destination)
            courier.start()

    def stop(self) -> None:
        self._is_over = True
        self._thread.stop()
        for courier in list(self._couriers.values()):
            courier.stop()

    def join(self, timeout: float) -> None:
        by = time.monotonic() + timeout
        self._thread.join(timeout)
        for courier in [*self._couriers.values(), *self._leaving]:
            courier.thread.join(max(0.0, by - time.monotonic()))


def _values(destination: Destination | None) -> object:
    """Return what a courier's connections are made of."""
    if destination is None:
        return None
    urls = destination.broker.stored, destination.result_backend.stored
    return destination.name, *urls, destination.ca_certificate, destination.worker_events
