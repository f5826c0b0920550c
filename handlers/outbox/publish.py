"""Publishes ready deliveries to the broker in pipelined batches, then marks them queued.

Always after the commit, never inside a transaction. A delivery that cannot be published stays
ready in the database, and the relay publishes it later.

BrokerUnavailable   no delivery is marked, and the relay retries; only the broker needs a fix
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from time import time_ns
from typing import Any, TypeVar

import structlog
from celery import Celery, current_app
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import Q

from handlers import broker, tracing
from handlers.broker import BrokerUnavailable
from handlers.models import Delivery
from handlers.outbox import metrics
from handlers.outbox.message_size import grouped, messages_waiting, size_limit, spread
from handlers.sdk import registry
from handlers.sdk.events import EventData, Present
from handlers.sdk.outcomes import Failed, Skipped
from handlers.sdk.registry import Handler, attempts_allowed, queue_of
from handlers.superseded.prepare import present_of
from handlers.types import Message
from listeners import crash_points

log = structlog.get_logger(__name__)

BATCH = 1000


#: A delivery, or a row of its `_COLUMNS`.
Publishable = TypeVar("Publishable", bound=Any)

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


def _publish_batch(ids: Sequence[int], now: datetime, size: int | None) -> int:
    # Queued deliveries passed in were lost with the broker. A retry is not published before due_at.
    publishable = Q(state__in=(Delivery.State.READY, Delivery.State.QUEUED)) | Q(
        state=Delivery.State.RETRYING, due_at__lte=now
    )
    deliveries = Delivery.objects.filter(publishable, pk__in=ids).order_by("id")
    found = list(deliveries.values_list(*_COLUMNS, named=True))
    rows = [row for row in found if not row.mapping__paused_at]
    if len(rows) < len(found):
        Delivery.objects.set_aside([row.id for row in found if row.mapping__paused_at])
    limits = {row.mapping_id: row.mapping__max_attempts for row in rows}
    tracked = [
        message_for(group[0], [row.id for row in group])
        for group in in_bundles([row for row in rows if not row.is_external], limits, size)
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


def in_bundles(
    deliveries: Sequence[Publishable],
    max_attempts: Mapping[int, int | None],
    size: int | None = None,
    *,
    spare_full_queues: bool = False,
) -> Iterator[list[Publishable]]:
    """Group deliveries into messages by handler and queue, for a batch handler also by mapping.

    `max_attempts` has the limit of each mapping, by id. With `spare_full_queues`, queues in which
    messages wait get fewer and larger ones. Leaves out deliveries whose handler is not registered.
    """
    kinds: list[tuple[Publishable, Handler[Any], tuple[Any, ...]]] = []
    for delivery in deliveries:
        if handler := registry.find(delivery.handler):
            mapping_id = delivery.mapping_id if handler.batch else None
            kinds.append((delivery, handler, (delivery.handler, delivery.queue, mapping_id)))
    sizes = {}
    for (name, queue, mapping_id), count in Counter(kind for _, _, kind in kinds).items():
        waiting = messages_waiting(queue_of(name, queue)) if spare_full_queues else 0
        sizes[name, queue, mapping_id] = size or spread(count, waiting)
    shared = []
    for delivery, handler, kind in kinds:
        attempts = attempts_allowed(handler, max_attempts[delivery.mapping_id])
        limit = size_limit(handler, delivery.attempts - delivery.attempts_before, attempts)
        most = limit if handler.batch else min(limit, sizes[kind])
        shared.append((((*kind, delivery.attempts), most), delivery))
    yield from grouped(shared)


def message_for(first: Any, ids: Sequence[int]) -> Message:
    """Return the message for deliveries that share one: `first` is one of them, `ids` are the ids
    of all."""
    queue = queue_of(first.handler, first.queue)
    return Message(ids, first.attempts, first.handler, queue, {"delivery_ids": ids})


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


def send(messages: Sequence[Message]) -> None:
    """Publish messages in pipelined batches. Raises BrokerUnavailable."""
    if not messages:
        return
    began = time_ns()
    app: Celery = current_app._get_current_object()
    _declare(app, {message.queue for message in messages if message.is_external})
    queues = {name: _queue(app, name) for name in {message.queue for message in messages}}
    with (
        broker.errors(app),
        app.producer_pool.acquire(block=True, timeout=10) as producer,
        # Transports without pipelining send each message immediately.
        producer.batch(max_size=BATCH),
    ):
        for message in messages:
            size = len(message.ids)
            task = app.amqp.as_task_v2(
                message.task_id,
                message.task,
                kwargs=message.kwargs,
                argsrepr="()",
                kwargsrepr=repr(message.kwargs) if size == 1 else f"{size} deliveries",
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


def _declare(app: Celery, external_queues: Collection[str]) -> None:
    if not external_queues:
        return
    with broker.errors(app), app.pool.acquire(block=True, timeout=10) as connection:
        for name in external_queues:
            broker.ensure_queue(app, connection, name)


def _queue(app: Celery, name: str) -> Any:
    """Return the queue object for a name.

    Given only the name, Celery would add the queue to those that a worker consumes, when a worker
    that runs tasks in its own process reconnects.
    """
    return app.amqp.queues.get(name) or app.amqp.queues.new_missing(name)
