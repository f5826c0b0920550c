"""Reads the reports of one destination: read → verify → settle → acknowledge → publish the next.

Several couriers may read one queue. A report is acknowledged after its attempt was settled, so a
courier that is killed in between leaves it to another one, for which it is late and harmless.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import structlog
from celery import Celery
from kombu.entity import Queue
from kombu.message import Message
from kombu.messaging import Consumer
from kombu.transport import virtual

from handlers.external import apps
from handlers.external.bounded_message import bound
from handlers.models import Destination
from handlers.outbox import publish
from handlers.outbox.message_size import MOST
from handlers.tracking import metrics
from handlers.tracking.reports import MAX_BYTES, Report, parse, reports_queue
from handlers.tracking.settle import settle_reports
from handlers.tracking.tokens import InvalidToken
from listeners import crash_points
from listeners.clock import database_clock

log = structlog.get_logger(__name__)

#: Reports that one transaction settles, at most.
BATCH = 300
#: Seconds to wait for the first report of a batch, and for each further one.
FIRST_SECONDS, NEXT_SECONDS = 1.0, 0.01
#: Seconds after which a courier gets the reports of another one that was killed, on Redis. A report
#: that two couriers get is harmless.
VISIBILITY_SECONDS = 5
HEARTBEAT_SECONDS = 20
#: Seconds for which a report may be in no queue, because a courier that was killed had received it.
#: RabbitMQ returns it after two heartbeats.
HIDDEN_SECONDS = 45.0
#: A worker gives a report the priority of its task; on Redis each has a list of its own.
PRIORITIES = list(range(10))
#: Seconds between two log lines about forged reports.
FORGED_LOG_SECONDS = 60.0


class Courier:
    """Reads the reports of a destination while `reading` is active."""

    def __init__(self, destination: Destination | None) -> None:
        self.destination = destination
        self.name = destination.name if destination else ""
        self._received: list[Message] = []
        self._logged_forged_at = -FORGED_LOG_SECONDS

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """Yield the connection, with which `handle_batch` is called. Raises BrokerUnavailable."""
        app = apps.app_of(self.destination)
        queue = reports_queue()
        with apps.errors(self.destination), _connection(app) as connection:
            publish.declare(app, {queue})
            self._received.clear()  # of a lost connection: they come again
            bound(connection.default_channel, MAX_BYTES)
            with Consumer(  # type: ignore[no-untyped-call]
                connection.default_channel,
                [Queue(queue, exchange="", no_declare=True)],  # type: ignore[no-untyped-call]
                on_message=self._received.append,
                on_decode_error=lambda message, _: self._received.append(message),
                accept=["json"],
                auto_declare=False,
                prefetch_count=BATCH,
            ):
                yield connection

    def handle_batch(self, connection: Any) -> bool:
        """Wait for reports and handle them; return whether the queue was empty after them.

        Raises the errors of the broker, and of a database that stays away.
        """
        if connection.supports_heartbeats:
            connection.heartbeat_check()
        is_empty = self._read(connection)
        messages, self._received[:] = list(self._received), []
        reports = self._verified(messages)
        settled, following = settle_reports(reports, self.destination) if reports else (0, [])
        crash_points.reach("reported")
        for message in messages:
            message.ack()  # type: ignore[no-untyped-call]
        metrics.count(self.name, "settled", settled)
        metrics.count(self.name, "late", len(reports) - settled)
        if following:
            publish.publish_or_leave(following, database_clock.now(), size=MOST)
        return is_empty

    def unseen_seconds(self, connection: Any) -> float:
        """Return for how many seconds there may be reports that no courier has read; infinite while
        many wait.

        Looks for reports that a killed courier had received before those that wait, since the first
        become the second.
        """
        channel, is_virtual = connection.default_channel, _is_virtual(connection)
        is_any_hidden = True
        if is_virtual:
            with channel.conn_or_acquire() as client:
                is_any_hidden = client.hlen(channel.unacked_key) > 0
        # Redis has no empty queues, and kombu's declaration creates none.
        declared = channel.queue_declare(reports_queue(), passive=not is_virtual)
        waiting = declared.message_count
        if waiting >= BATCH:
            return math.inf
        return HIDDEN_SECONDS if waiting or is_any_hidden else 0.0

    def _read(self, connection: Any) -> bool:
        """Fill `_received`; return whether the queue was empty before the batch was full."""
        wait = FIRST_SECONDS
        while len(self._received) < BATCH:
            try:
                connection.drain_events(timeout=wait)
            except TimeoutError:
                return True
            wait = NEXT_SECONDS
        return False

    def _verified(self, messages: list[Message]) -> list[Report]:
        reports = []
        for message in messages:
            try:
                reports.append(parse(message))
            except InvalidToken:
                continue
        if forged := len(messages) - len(reports):
            metrics.count(self.name, "forged", forged)
            if monotonic() - self._logged_forged_at >= FORGED_LOG_SECONDS:
                self._logged_forged_at = monotonic()
                log.warning(
                    "reports ignored that are not ours: find out who writes to the queue",
                    queue=reports_queue(),
                    destination=self.name,
                    reports=forged,
                )
        return reports


def _is_virtual(connection: Any) -> bool:
    """Return whether kombu keeps the unacknowledged messages, as on Redis, and not the broker."""
    return issubclass(connection.get_transport_cls(), virtual.Transport)


def _connection(app: Celery) -> Any:
    """Return a connection of its own for reading.

    On Redis it keeps unacknowledged reports under keys of its own: its short visibility timeout
    must not restore the messages of the project's own workers.
    """
    connection = app.connection_for_read(heartbeat=HEARTBEAT_SECONDS)
    if not _is_virtual(connection):
        return connection
    queue = reports_queue()
    options = {
        "visibility_timeout": VISIBILITY_SECONDS,
        "unacked_restore_throttle": 1,
        "unacked_restore_limit": BATCH,
        "unacked_mutex_expire": 2 * VISIBILITY_SECONDS,
        "unacked_key": f"{queue}.unacked",
        "unacked_index_key": f"{queue}.unacked_index",
        "unacked_mutex_key": f"{queue}.unacked_mutex",
        "priority_steps": PRIORITIES,
    }
    return app.connection_for_read(transport_options=options)
