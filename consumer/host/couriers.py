"""The couriers of a listener process: a thread for each destination reads the reports of tracked
external tasks and settles their deliveries."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from math import isfinite
from typing import Any

import structlog
from django.db import Error, connection

from consumer.host.threads import PeriodicThread
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
from listeners.clock import database_clock
from listeners.salesforce.backoff import Backoff

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


class ReaderThread(threading.Thread):
    """Reads from a destination's broker until it is stopped, and reconnects after errors."""

    def __init__(self, name: str, reader: Courier | EventReader) -> None:
        self.destination = reader.destination
        self._reader = reader
        super().__init__(name=name, daemon=True)
        self._stopped = threading.Event()
        self._connected_at = time.monotonic()
        self._failing_since: float | None = None
        self._database_pauses = DATABASE_PAUSES.delays()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        delays = RECONNECT.delays()
        while not self._stopped.is_set():
            began = time.monotonic()
            self._read_safely()
            connection.close()
            if time.monotonic() - began > OVERDUE_SECONDS:
                delays = RECONNECT.delays()
            self._stopped.wait(next(delays))

    def _read_safely(self) -> None:
        try:
            try:
                self._read()
            except Error:
                raise
            except BrokerUnavailable as error:
                log.warning("reports cannot be read; will retry", reason=str(error))
                self._after_failure(str(error))
            except Exception as error:
                log.exception("unexpected error", thread=self.name)
                self._after_failure(f"unexpected {type(error).__name__}", is_expected=False)
        except Error as error:
            log.warning(self._reader.database_error, reason=str(error).strip())
            self._failing_since = None  # not the broker's failure
            self._stopped.wait(next(self._database_pauses))
            self._await_database()
        except Exception:  # the thread must survive
            log.exception("unexpected error", thread=self.name)

    def _await_database(self) -> None:
        """Wait until the database answers."""
        while not self._stopped.is_set():
            connection.close()
            try:
                connection.ensure_connection()
                return
            except Error:
                self._stopped.wait(DATABASE_SECONDS)

    def _read(self) -> None:
        """Raises BrokerUnavailable, and the errors of a database that stays away."""
        with self._reader.reading() as source:
            self._connected_at = time.monotonic()
            while not self._stopped.is_set():
                self._handle_batch(source)
                self._failing_since, self._database_pauses = None, DATABASE_PAUSES.delays()

    def _handle_batch(self, source: Any) -> None:
        with apps.errors(self.destination):
            self._reader.handle_batch(source)

    def _after_failure(self, reason: str, *, is_expected: bool = True) -> None:
        pass


class CourierThread(ReaderThread):
    """Reads the reports of a destination, and ends its attempts that were not reported in time."""

    def __init__(self, destination: Destination | None) -> None:
        self._courier = Courier(destination)
        super().__init__(f"courier {self._courier.name}".strip(), self._courier)
        self._looked_at = self._read_at = self._reading_since = float("-inf")
        self._events: ReaderThread | None = None
        if destination is not None and destination.worker_events:
            self._events = ReaderThread(f"events {destination.name}", EventReader(destination))

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
    """Starts and stops courier threads as mappings and destinations change."""

    def __init__(self) -> None:
        self._threads: dict[int | None, CourierThread] = {}
        self._leaving: list[CourierThread] = []
        self._is_over = False

    def refresh(self) -> None:
        wanted = {
            destination.pk if destination else None: destination
            for destination in destinations_to_read()
        }
        self._leaving = [thread for thread in self._leaving if thread.is_alive()]
        for pk, thread in list(self._threads.items()):
            if pk not in wanted or _values(thread.destination) != _values(wanted[pk]):
                thread.stop()
                self._leaving.append(self._threads.pop(pk))
        for pk, destination in wanted.items():
            known = self._threads.get(pk)
            if not self._is_over and (known is None or not known.is_alive()):
                self._threads[pk] = thread = CourierThread(destination)
                thread.start()

    def stop(self) -> None:
        self._is_over = True
        for thread in list(self._threads.values()):
            thread.stop()

    def join(self, timeout: float) -> None:
        by = time.monotonic() + timeout
        for thread in [*self._threads.values(), *self._leaving]:
            thread.join(max(0.0, by - time.monotonic()))


def _values(destination: Destination | None) -> object:
    """Return what a courier's connections are made of."""
    if destination is None:
        return None
    urls = destination.broker.stored, destination.result_backend.stored
    return destination.name, *urls, destination.ca_certificate, destination.worker_events


class CouriersThread(PeriodicThread):
    """Keeps the couriers of this process up to date."""

    def __init__(self) -> None:
        self._couriers = Couriers()
        super().__init__("couriers", self._couriers.refresh, LOOK_SECONDS)

    def stop(self) -> None:
        super().stop()
        self._couriers.stop()

    def join(self, timeout: float | None = None) -> None:
        super().join(timeout)
        self._couriers.join(timeout or 0.0)
