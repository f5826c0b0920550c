"""Publishes ready deliveries to the broker in pipelined batches, then marks them queued.

Always after the commit, never inside a transaction. A delivery that cannot be published stays
ready in the database, and the relay publishes it later.

BrokerUnavailable   no delivery is marked, and the relay retries; only the broker needs a fix
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import time_ns
from typing import Any

import structlog
from celery import Celery, current_app
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import Q

from handlers import tracing
from handlers.models import Delivery
from handlers.outbox import broker as outbox_broker
from handlers.outbox import metrics
from handlers.outbox.message_size import grouped, size_limit, spread
from handlers.sdk import registry
from handlers.sdk.events import EventData, Present
from handlers.sdk.outcomes import Failed, Skipped
from handlers.sdk.queues import queue_of
from handlers.sdk.registry import Handler
from handlers.sdk.retry_policy import allowed
from handlers.superseded.prepare import present_of
from handlers.types import Message
from listeners import crash_points

log = structlog.get_logger(__name__)

BATCH = 1000
#: Returns the number of messages that wait in a queue.
Waiting = Callable[[str], int]


def _none(queue: str) -> int:
    return 0


class BrokerUnavailable(Exception):
    """The broker does not answer. Deliveries stay ready; check the broker and CELERY_BROKER_URL."""


@dataclass(frozen=True, slots=True)
class Row:
    """The columns of a delivery that publishing needs."""

    id: int
    attempts: int
    attempts_before: int
    handler: str
    queue: str
    is_external: bool
    mapping_id: int | None
    max_attempts: int | None
    paused_at: datetime | None


_COLUMNS = (
    *("id", "attempts", "attempts_before", "handler", "queue", "is_external", "mapping_id"),
    *("mapping__max_attempts", "mapping__paused_at"),
)


def publish(delivery_ids: Sequence[int], now: datetime, *, size: int | None = None) -> int:
    """Publish deliveries that are ready or due for a retry, mark them, and return their number.

    Deliveries of a handler share messages of `size` deliveries; without `size`, more deliveries
    make larger messages. Deliveries of unregistered handlers and of paused mappings wait. Never
    inside a transaction. Raises BrokerUnavailable.
    """
    _refuse_in_a_transaction()
    published = 0
    for start in range(0, len(delivery_ids), BATCH):
        published += _publish_batch(delivery_ids[start : start + BATCH], now, size)
    return published


def _refuse_in_a_transaction() -> None:
    """Raise RuntimeError inside a transaction, other than the one that a test runs in."""
    if not connections[DEFAULT_DB_ALIAS].in_atomic_block:
        return
    try:
        with transaction.atomic(durable=True):
            pass
    except RuntimeError:
        raise RuntimeError(
            "Deliveries must be published after the commit, not inside a transaction."
        ) from None


def publish_or_leave(
    delivery_ids: Sequence[int], now: datetime, *, size: int | None = None
) -> bool:
    """Publish, or leave the deliveries to the relay; return whether they were published."""
    try:
        publish(delivery_ids, now, size=size)
    except BrokerUnavailable as error:
        log.warning(
            "broker unavailable: the relay will publish the deliveries later", reason=str(error)
        )
        return False
    return True


def start(task: str, **kwargs: int | str) -> None:
    """Send a task of ours to the workers. Raises BrokerUnavailable."""
    app: Celery = current_app._get_current_object()
    with _broker_errors(app), app.producer_pool.acquire(block=True, timeout=10) as producer:
        app.send_task(task, kwargs=kwargs, producer=producer, retry=False, ignore_result=True)


def start_or_leave(task: str, **kwargs: int | str) -> bool:
    """Send a task of ours to the workers; return False if the broker is unavailable.

    Then the task is sent when its job is due again.
    """
    try:
        start(task, **kwargs)
    except BrokerUnavailable as error:
        log.warning(
            "broker unavailable: the job will start later", task=task, **kwargs, reason=str(error)
        )
        return False
    return True


def _publish_batch(ids: Sequence[int], now: datetime, size: int | None) -> int:
    # Queued deliveries passed in were lost with the broker. A retry is not published before due_at.
    publishable = Q(state__in=(Delivery.State.READY, Delivery.State.QUEUED)) | Q(
        state=Delivery.State.RETRYING, due_at__lte=now
    )
    columns = Delivery.objects.filter(publishable, pk__in=ids).order_by("id").values_list(*_COLUMNS)
    found = [Row(*row) for row in columns]
    rows = [row for row in found if not row.paused_at]
    if len(rows) < len(found):
        Delivery.objects.set_aside([row.id for row in found if row.paused_at])
    tracked = [
        message_for(group) for group in share([row for row in rows if not row.is_external], size)
    ]
    sending = Delivery.objects.claim_sending([row.id for row in rows if row.is_external], now)
    external = _external_messages(sending, now)
    sending = [pk for message in external for pk in message.ids]
    try:
        send([*tracked, *external])
    except BrokerUnavailable:
        Delivery.objects.release_sending(sending)
        raise
    crash_points.reach("sent")
    _mark(tracked, now)
    Delivery.objects.mark_sent(sending, now)
    crash_points.reach("published")
    return sum(len(message.ids) for message in tracked) + len(external)


def share(
    rows: Sequence[Row],
    size: int | None = None,
    waiting: Waiting = _none,
) -> Iterator[list[Row]]:
    """Group rows into messages by handler and queue, for a batch handler also by mapping.

    Leaves out deliveries whose handler is not registered.
    """
    kinds: list[tuple[Row, Handler[Any], tuple[Any, ...]]] = []
    for row in rows:
        if handler := registry.find(row.handler):
            mapping_id = row.mapping_id if handler.batch else None
            kinds.append((row, handler, (row.handler, row.queue, mapping_id)))
    counts = Counter(kind for _, _, kind in kinds)
    sizes = {
        kind: size or spread(count, waiting(queue_of(*kind[:2]))) for kind, count in counts.items()
    }
    shared = [
        (((*kind, row.attempts), _size(row, handler, sizes[kind])), row)
        for row, handler, kind in kinds
    ]
    yield from grouped(shared)


def message_for(rows: Sequence[Row]) -> Message:
    """Return the message for rows that share one."""
    first, ids = rows[0], [row.id for row in rows]
    queue = queue_of(first.handler, first.queue)
    return Message(ids, first.attempts, first.handler, queue, {"delivery_ids": ids})


def _size(row: Row, handler: Handler[Any], size: int) -> int:
    attempts = allowed(handler, row.max_attempts)
    limit = size_limit(handler, row.attempts - row.attempts_before, attempts)
    return limit if handler.batch else min(limit, size)


def _mark(messages: Sequence[Message], now: datetime) -> None:
    sent: dict[int, list[int]] = {}
    for message in messages:
        sent.setdefault(message.attempts, []).extend(message.ids)
    if sent:
        Delivery.objects.mark_queued(sent, now)


def _external_messages(ids: Sequence[int], now: datetime) -> list[Message]:
    """Return the messages for claimed external deliveries.

    Skips changes whose record was deleted since. A delivery whose present values cannot be read
    keeps its claim, so that the next try waits until the claim expires.
    """
    if not ids:
        return []
    rows = Delivery.objects.filter(pk__in=ids).order_by("id")
    deliveries = list(rows.select_related("entry__listener", "mapping"))
    results = present_of(deliveries)
    failures = {pk: result for pk, result in results.items() if isinstance(result, Failed)}
    for pk, failure in failures.items():
        log.warning(
            "external delivery postponed: present values cannot be read",
            delivery=pk,
            reason=failure.error,
        )
    skipped = {pk: result.reason for pk, result in results.items() if isinstance(result, Skipped)}
    Delivery.objects.skip_sending(skipped, now)
    unsent = failures.keys() | skipped.keys()
    sendable = [delivery for delivery in deliveries if delivery.pk not in unsent]
    return [_external(delivery, results.get(delivery.pk)) for delivery in sendable]


def _external(delivery: Delivery, result: object) -> Message:
    present = result if isinstance(result, Present) else None
    return Message(
        [delivery.pk],
        delivery.attempts,
        delivery.handler,
        queue_of(delivery.handler, delivery.queue, is_external=True),
        {"event": EventData.of(delivery.entry, present=present).to_dict()},
        tracing.spans.headers(delivery) if tracing.spans is not None else None,
        is_external=True,
    )


def queue_length(queue: str) -> int | None:
    """Return the number of messages in a queue, 0 if it does not exist, None if unknown.

    Raises BrokerUnavailable.
    """
    app: Celery = current_app._get_current_object()
    with _broker_errors(app), app.pool.acquire(block=True, timeout=10) as broker:
        try:
            with outbox_broker.channel(broker) as channel:
                declared = channel.queue_declare(queue, passive=True)
        except broker.channel_errors:
            return 0
        return getattr(declared, "message_count", None)


def send(messages: Sequence[Message]) -> None:
    """Publish messages in pipelined batches. Raises BrokerUnavailable."""
    if not messages:
        return
    began = time_ns()
    app: Celery = current_app._get_current_object()
    _ensure_queues(app, {message.queue for message in messages if message.is_external})
    queues = {name: _queue(app, name) for name in {message.queue for message in messages}}
    with (
        _broker_errors(app),
        app.producer_pool.acquire(block=True, timeout=10) as producer,
        # Transports without pipelining send each message immediately.
        producer.batch(max_size=BATCH),
    ):
        for message in messages:
            task = app.amqp.as_task_v2(
                message.task_id,
                message.task,
                kwargs=message.kwargs,
                argsrepr="()",
                kwargsrepr=message.shown,
                ignore_result=True,
            )
            app.amqp.send_task_message(
                producer,
                message.task,
                task,
                queue=queues[message.queue],
                retry=False,
                headers=message.headers,
                declare=() if message.is_external else None,
            )
    metrics.published(messages)
    if tracing.spans is not None:
        tracing.spans.sent(messages, began)


def _queue(app: Celery, name: str) -> Any:
    """Return the queue object for a name.

    Given only the name, Celery would add the queue to those that a worker consumes, when a worker
    that runs tasks in its own process reconnects.
    """
    return app.amqp.queues.get(name) or app.amqp.queues.new_missing(name)


def _ensure_queues(app: Celery, names: Collection[str]) -> None:
    if not names:
        return
    with _broker_errors(app), app.pool.acquire(block=True, timeout=10) as broker:
        for name in names:
            outbox_broker.ensure_queue(app, broker, name)


@contextmanager
def _broker_errors(app: Celery) -> Iterator[None]:
    """Raise BrokerUnavailable for the broker's errors.

    A failed batch may have arrived in part; a second copy of a message is harmless.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, outbox_broker.failures(app)):
            raise
        raise BrokerUnavailable(f"The broker does not accept messages: {error}") from error
