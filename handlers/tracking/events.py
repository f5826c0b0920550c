"""Worker events (`celery worker -E`): when a tracked task began, on which worker, its error, and
whether it expired.

They add details to what reports say, and decide no outcome: any client of the broker can send them,
and some are lost. Of several processes each gets all events.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from celery.events.event import get_exchange
from django.db import transaction
from kombu.entity import Queue
from kombu.message import Message
from kombu.messaging import Consumer

from audit.db.retry import retry
from handlers.dead_letters.groups import group_of
from handlers.external import apps
from handlers.external.bounded_message import bound
from handlers.models import Delivery, DeliveryAttempt, Destination
from handlers.sdk.outcomes import MAX_ERROR, Failed, storable
from handlers.superseded.masking import masked_reports
from listeners.clock import database_clock

BATCH = 500
FIRST_SECONDS, NEXT_SECONDS = 1.0, 0.05
#: Events with more bytes are not read.
MAX_BYTES = 1_000_000
#: Tasks whose details are kept until their report is settled: begun ones, and failed ones.
KEPT, FAILURES_KEPT = 20_000, 1_000
#: How long RabbitMQ keeps an unread event, and the queue of a process that died.
TTL_SECONDS, EXPIRES_SECONDS = 5.0, 60.0
_TASK_ID = re.compile(r"delivery-([1-9]\d{0,17})-([1-9]\d{0,8})")
_MOST_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class Event:
    """A task began on a worker of a destination, failed there with an error, or expired."""

    destination_id: int
    delivery_id: int
    attempt: int
    worker: str
    error: Failed | None = None
    is_expired: bool = False


class Details:
    """The newest event of each task in flight, by the ids of destination and delivery, and the
    attempt."""

    def __init__(self) -> None:
        self._begun: OrderedDict[tuple[int, int, int], Event] = OrderedDict()
        self._failed: OrderedDict[tuple[int, int, int], Event] = OrderedDict()

    def add(self, event: Event) -> None:
        events, most = (self._failed, FAILURES_KEPT) if event.error else (self._begun, KEPT)
        events[event.destination_id, event.delivery_id, event.attempt] = event
        while len(events) > most:
            events.popitem(last=False)

    def pop(self, destination_id: int | None, delivery_id: int, attempt: int) -> Event | None:
        if destination_id is None:
            return None
        place = destination_id, delivery_id, attempt
        begun = self._begun.pop(place, None)
        return self._failed.pop(place, begun)


#: Of this process. Its couriers take from it what its event readers add.
details = Details()


class EventReader:
    """Reads the events of a destination's workers while `reading` is active."""

    database_error = "worker events dropped: database error"

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self._received: list[Message] = []

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """Yield the connection, with which `handle_batch` is called. Raises BrokerUnavailable."""
        app = apps.app_of(self.destination)
        with apps.errors(self.destination), app.connection_for_read() as connection:
            queue = Queue(  # type: ignore[no-untyped-call]
                f"cdc.events.{uuid.uuid4().hex}",
                get_exchange(connection, app.conf.event_exchange),
                "task.#",
                durable=False,
                auto_delete=True,
                message_ttl=TTL_SECONDS,
                expires=EXPIRES_SECONDS,
            )
            bound(connection.default_channel, MAX_BYTES)
            with Consumer(  # type: ignore[no-untyped-call]
                connection.default_channel,
                [queue],
                no_ack=True,
                on_message=self._received.append,
                on_decode_error=lambda *_: None,
                accept=["json"],
            ):
                yield connection

    def handle_batch(self, connection: Any) -> None:
        """Wait for events and note what they say. Raises the errors of the broker, and of a
        database that stays away."""
        wait = FIRST_SECONDS
        while len(self._received) < BATCH:
            try:
                connection.drain_events(timeout=wait)
            except TimeoutError:
                break
            wait = NEXT_SECONDS
        messages, self._received[:] = list(self._received), []
        events = [event for message in messages for event in parse(message, self.destination.pk)]
        for event in events:
            details.add(event)
        begun = [event for event in events if event.error is None and not event.is_expired]
        retry(lambda: begin_runs(begun), "begin runs")
        for event in events:
            if event.error is not None:
                retry(lambda one=event: add_error(one), "add an error")  # type: ignore[misc]


def begin_runs(events: Sequence[Event]) -> None:
    """Mark queued deliveries of one destination as running whose task has begun. Never inside a
    transaction."""
    attempts = {event.delivery_id: event.attempt for event in events}
    if not attempts:
        return
    destination_id = events[0].destination_id
    with transaction.atomic(durable=True):
        tracked = Delivery.objects.filter(is_tracked=True, destination=destination_id)
        queued = tracked.filter(pk__in=attempts, state="queued")
        # A locked one is being settled.
        free = queued.order_by("id").select_for_update(skip_locked=True)
        begun = [pk for pk, number in free.values_list("pk", "attempts") if attempts[pk] == number]
        Delivery.objects.filter(pk__in=begun).update(
            state="running", started_at=database_clock.now()
        )


def add_error(event: Event) -> None:
    """Add the error of a failed task whose report was settled before its event came. Never inside a
    transaction."""
    own = Delivery.objects.filter(
        pk=event.delivery_id, is_tracked=True, destination=event.destination_id
    )
    loaded = list(own.select_related("entry__listener", "mapping"))
    if event.error is None or not loaded:
        return
    failure = masked_reports({event.delivery_id: event.error}, loaded)[event.delivery_id]
    error, trace = storable(failure.error), storable(failure.traceback)
    attempts = DeliveryAttempt.objects.filter(
        delivery__in=own, number=event.attempt, outcome="failed", traceback=""
    )
    with transaction.atomic(durable=True):
        deliveries = own.filter(attempts=event.attempt, state__in=("retrying", "dead"))
        delivery = deliveries.locked().first()
        if attempts.update(error=error, traceback=trace, worker=event.worker) and delivery:
            group = group_of(delivery, error)
            deliveries.update(error=error, error_group=group)


def parse(message: Message, destination_id: int) -> list[Event]:
    """Return the events of tracked tasks in a message from a destination; several may share one."""
    body = message.body
    is_json = message.content_type == "application/json" and isinstance(body, str | bytes)
    if message.errors or not is_json or len(body) > MAX_BYTES:
        return []
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return []
    contents = content if isinstance(content, list) else [content]
    found = [_event(one, destination_id) for one in contents]
    return [event for event in found if event is not None]


def _event(content: object, destination_id: int) -> Event | None:
    if not isinstance(content, dict):
        return None
    task_id, worker = content.get("uuid"), content.get("hostname")
    if not isinstance(task_id, str) or not isinstance(worker, str):
        return None
    match = _TASK_ID.fullmatch(task_id)
    if match is None or len(worker) > _MOST_CHARACTERS:
        return None
    place = destination_id, int(match[1]), int(match[2]), storable(worker)[:_MOST_CHARACTERS]
    is_expired = content.get("type") == "task-revoked" and content.get("expired") is True
    if is_expired or content.get("type") == "task-started":
        return Event(*place, is_expired=is_expired)
    error, trace = content.get("exception"), content.get("traceback")
    if content.get("type") == "task-failed" and isinstance(error, str):
        kind = re.match(r"\w+", error)
        name = kind[0][:_MOST_CHARACTERS] if kind else ""
        kept = trace[-MAX_ERROR:] if isinstance(trace, str) else ""
        return Event(*place, Failed(error[-MAX_ERROR:], kept, type=name))
    return None
