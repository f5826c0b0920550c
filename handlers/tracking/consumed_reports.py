"""Reads reports on RabbitMQ, which returns those of a courier that was killed to their queue."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from kombu.entity import Queue
from kombu.message import Message
from kombu.messaging import Consumer

from handlers.tracking.reports import BATCH, reports_queue

#: Seconds to wait for the first report of a batch, and for each further one.
FIRST_SECONDS, NEXT_SECONDS = 1.0, 0.01
HEARTBEAT_SECONDS = 20
#: Seconds for which a report may be in no queue, because a courier that was killed had received it.
#: RabbitMQ returns it after two to three heartbeats if its machine has gone.
HIDDEN_SECONDS = 65.0


@dataclass(frozen=True, slots=True)
class _Look:
    """How many reports waited at a time, and how many are acknowledged once all of them are."""

    asked: float
    waiting: int
    acknowledged_then: int


class ConsumedReports:
    """The reports queue of a broker that keeps the unacknowledged messages of its consumers."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._received: list[Message] = []
        self._acknowledged = 0
        self._look: _Look | None = None
        self._all_read_at = -math.inf
        Consumer(  # type: ignore[no-untyped-call]
            connection.default_channel,
            [Queue(reports_queue(), exchange="", no_declare=True)],  # type: ignore[no-untyped-call]
            on_message=self._received.append,
            on_decode_error=lambda message, _: self._received.append(message),
            accept=["json"],
            auto_declare=False,
            prefetch_count=BATCH,
        ).consume()

    def read(self) -> list[Message]:
        """Return reports, up to a batch; wait a moment for them."""
        if self._connection.supports_heartbeats:
            self._connection.heartbeat_check()
        wait, began = FIRST_SECONDS, time.monotonic()
        while len(self._received) < BATCH:
            try:
                self._connection.drain_events(timeout=wait)
            except TimeoutError:
                break
            wait = NEXT_SECONDS
        if not self._received:
            self._all_read_at, self._look = began, None
        return list(self._received)

    def acknowledge(self) -> None:
        """Remove the reports that were read last from the queue."""
        self._acknowledged += len(self._received)
        for message in self._received:
            message.ack()  # type: ignore[no-untyped-call]
        self._received.clear()

    def unseen_seconds(self) -> float:
        """Return for how many seconds there may be reports that no courier has read.

        It is called every few seconds, between which reports are read. The queue does not count the
        reports on their way to this courier, a batch at most: they arrive before the next call.
        """
        asked = time.monotonic()
        declared = self._connection.default_channel.queue_declare(reports_queue(), passive=True)
        look, waiting = self._look, declared.message_count
        if look and (look.waiting == 0 or self._acknowledged >= look.acknowledged_then):
            self._all_read_at, look = look.asked, None
        self._look = look or _Look(asked, waiting, self._acknowledged + waiting + BATCH)
        return max(HIDDEN_SECONDS, time.monotonic() - self._all_read_at)
