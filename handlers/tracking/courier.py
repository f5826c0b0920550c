"""Reads the reports of one destination: read → verify → settle → acknowledge → publish the next.

Several couriers may read one queue. A report is acknowledged after its attempt was settled, so a
courier that is killed in between leaves it to another one, for which it is late and harmless.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import structlog
from kombu.message import Message
from kombu.transport import virtual

from handlers.external import apps
from handlers.external.bounded_message import bound
from handlers.models import Destination
from handlers.outbox import publish
from handlers.outbox.message_size import MOST
from handlers.tracking import metrics
from handlers.tracking.consumed_reports import HEARTBEAT_SECONDS, ConsumedReports
from handlers.tracking.redis_reports import RedisReports
from handlers.tracking.reports import BATCH, MAX_BYTES, Report, parse, reports_queue
from handlers.tracking.settle import settle_reports
from handlers.tracking.tokens import InvalidToken
from listeners import crash_points
from listeners.clock import database_clock

log = structlog.get_logger(__name__)

#: Seconds between two log lines about ignored reports, of either kind.
IGNORED_LOG_SECONDS = 60.0


class Courier:
    """Reads the reports of a destination while `reading` is active."""

    database_error = "reports left in their queue: database error"

    def __init__(self, destination: Destination | None) -> None:
        self.destination = destination
        self.name = destination.name if destination else ""
        self._logged_at: dict[str, float] = {}

    @contextmanager
    def reading(self) -> Iterator[RedisReports | ConsumedReports]:
        """Yield the queue, with which `handle_batch` is called. Raises BrokerUnavailable."""
        app = apps.app_of(self.destination)
        with (
            apps.errors(self.destination),
            app.connection_for_read(heartbeat=HEARTBEAT_SECONDS) as connection,
        ):
            publish.declare(app, {reports_queue()})
            channel = connection.default_channel
            bound(channel, MAX_BYTES)
            is_redis = isinstance(connection.transport, virtual.Transport)
            yield RedisReports(channel) if is_redis else ConsumedReports(connection)

    def handle_batch(self, queue: RedisReports | ConsumedReports) -> bool:
        """Read reports and handle them; return whether they were fewer than a batch.

        Raises the errors of the broker, and of a database that stays away.
        """
        messages = queue.read()
        if not messages:
            return True
        crash_points.reach("reports_read")
        reports = self._verified(messages)
        settled, following = settle_reports(reports, self.destination) if reports else (0, [])
        crash_points.reach("reported")
        queue.acknowledge()
        metrics.count(self.name, "settled", settled)
        metrics.count(self.name, "late", len(reports) - settled)
        if following:
            publish.publish_or_leave(following, database_clock.now(), size=MOST)
        return len(messages) < BATCH

    def _verified(self, messages: list[Message]) -> list[Report]:
        reports, unread = [], []
        for message in messages:
            try:
                reports.append(parse(message))
            except InvalidToken:
                if compression := getattr(message, "unread_compression", ""):
                    unread.append(compression)
        self._note_ignored(
            "forged",
            len(messages) - len(reports) - len(unread),
            "reports ignored that are not ours: find out who writes to the queue",
        )
        self._note_ignored(
            "compressed",
            len(unread),
            "reports ignored whose compression is not read: let the workers' task_compression be "
            "gzip, bzip2 or lzma",
            compressions=sorted(set(unread)),
        )
        return reports

    def _note_ignored(self, result: str, number: int, why: str, **details: object) -> None:
        metrics.count(self.name, result, number)
        if (
            not number
            or monotonic() < self._logged_at.get(result, -IGNORED_LOG_SECONDS) + IGNORED_LOG_SECONDS
        ):
            return
        self._logged_at[result] = monotonic()
        log.warning(why, queue=reports_queue(), destination=self.name, reports=number, **details)
