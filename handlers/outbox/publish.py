"""Publishes ready deliveries to the broker in pipelined batches, then marks them queued.

Always after the commit, never inside a transaction. A delivery that cannot be published stays
ready in the database, and the relay publishes it later.

BrokerUnavailable   no delivery is marked, and the relay retries; only the broker needs a fix
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
from handlers.sdk.registry import Handler, attempts_allowed, queue_of
from handlers.types import Message
from listeners import crash_points

log = structlog.get_logger(__name__)

BATCH = 1000
#: Characters of a message's arguments that Celery's tools show.
MOST_SHOWN = 1024


def send_external(ids: Sequence[int], now: datetime) -> int:
    """Send external deliveries; return how many were sent. Raises BrokerUnavailable.

    `handlers.apps` replaces it by `handlers.tracking.send`, which is above this module: it settles
    the deliveries that cannot be sent.
    """
    raise NotImplementedError


#: Functions that take external deliveries and send them in threads of their own, as `send_external`
#: would: the last one is called in place of it.
senders: list[Callable[[Sequence[int], datetime], int]] = []


#: A delivery, or a row of its `_COLUMNS`.
Publishable = TypeVar("Publishable", bound=Any)

_COLUMNS = (
    *("id", "attempts", "attempts_before", "handler", "queue", "is_external", "mapping_id"),
    *("mapping__max_attempts", "mapping__paused_at", "mapping__destination_id"),
)


def publish(
    delivery_ids: Sequence[int],
    now: datetime,
    *,
    size: int | None = None,
    leaves_external: bool = False,
) -> int:
    """Publish deliveries that are ready or due for a retry, mark them, and return their number.

    Deliveries of a handler share messages of `size` deliveries; without `size`, more deliveries
    make larger messages. Deliveries of unregistered handlers and of paused mappings wait. External
    ones come last, since their brokers may not answer; with `leaves_external` those of other
    brokers are left to the senders of this process or to a relay. Never inside a transaction.
    Raises BrokerUnavailable.
    """
    _refuse_in_a_transaction()
    published, failure = 0, None
    external: list[int] = []
    for start in range(0, len(delivery_ids), BATCH):
        rows = _publishable(delivery_ids[start : start + BATCH], now)
        external += [
            row.id
            for row in rows
            if row.is_external
            and (senders or not leaves_external or not row.mapping__destination_id)
        ]
        if failure is None:
            try:
                published += _publish_internal([r for r in rows if not r.is_external], now, size)
            except BrokerUnavailable as error:  # other brokers may be up
                failure = error
    if external and senders:
        published += senders[-1](external, now)
    elif external:
        published += send_external(external, now)
    if failure is not None:
        raise failure
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
    """Publish, or leave the deliveries to the relay; return whether they were published.

    Those of other brokers are left to the senders of this process or to a relay.
    """
    try:
        publish(delivery_ids, now, size=size, leaves_external=True)
    except BrokerUnavailable as error:
        log.warning(
            "broker unavailable: the relay will publish the deliveries later", reason=str(error)
        )
        return False
    return True


def _publishable(ids: Sequence[int], now: datetime) -> list[Any]:
    """Return the rows of deliveries that can be published. Sets aside those of paused mappings."""
    # Queued deliveries passed in were lost with the broker. A retry is not published before due_at.
    publishable = Q(state__in=(Delivery.State.READY, Delivery.State.QUEUED)) | Q(
        state=Delivery.State.RETRYING, due_at__lte=now
    )
    deliveries = Delivery.objects.filter(publishable, pk__in=ids).order_by("id")
    found = list(deliveries.values_list(*_COLUMNS, named=True))
    rows = [row for row in found if not row.mapping__paused_at]
    if len(rows) < len(found):
        Delivery.objects.set_aside([row.id for row in found if row.mapping__paused_at])
    return rows


def _publish_internal(rows: Sequence[Any], now: datetime, size: int | None) -> int:
    limits = {row.mapping_id: row.mapping__max_attempts for row in rows}
    messages = [
        message_for(group[0], [row.id for row in group]) for group in in_bundles(rows, limits, size)
    ]
    send(messages)
    if messages:
        crash_points.reach("sent")
        _mark(messages, now)
        crash_points.reach("published")
    return sum(len(message.ids) for message in messages)


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


def send(messages: Sequence[Message]) -> None:
    """Publish messages in pipelined batches through our own broker. Raises BrokerUnavailable."""
    if not messages:
        return
    began = time_ns()
    app: Celery = current_app._get_current_object()
    with (
        broker.errors(app),
        app.producer_pool.acquire(block=True, timeout=10) as producer,
        # Transports without pipelining send each message immediately.
        producer.batch(max_size=BATCH),
    ):
        for message in messages:
            write(app, producer, message)
    metrics.published(messages)
    if tracing.spans is not None:
        tracing.spans.sent(messages, began)


def write(app: Celery, producer: Any, message: Message) -> None:
    """Give a message to a producer. The queue of an external task is not declared."""
    app.amqp.send_task_message(
        producer,
        message.task,
        _task(app, message),
        queue=_queue(app, message.queue),
        retry=False,
        headers=message.headers,
        declare=() if message.is_external else None,
        **({} if message.priority is None else {"priority": message.priority}),
    )


def _task(app: Celery, message: Message) -> Any:
    size = len(message.ids)
    shown = repr(message.kwargs)[:MOST_SHOWN] if size == 1 else f"{size} deliveries"
    return app.amqp.as_task_v2(
        message.task_id,
        message.task,
        message.args,
        message.kwargs,
        argsrepr=repr(tuple(message.args))[:MOST_SHOWN],
        kwargsrepr=shown,
        **{"ignore_result": True, **message.options},
    )


def declare(app: Celery, queues: Collection[str]) -> None:
    """Declare queues of ours that do not exist. Raises BrokerUnavailable."""
    with broker.errors(app), app.pool.acquire(block=True, timeout=10) as connection:
        for name in queues:
            broker.ensure_queue(app, connection, name)


def absent(app: Celery, queues: Collection[str]) -> set[str]:
    """Return those of another project's queues that do not exist. Raises BrokerUnavailable.

    They are not declared: their arguments, such as a maximum priority, are their project's, whose
    workers could not start if we declared others.
    """
    with broker.errors(app), app.pool.acquire(block=True, timeout=10) as connection:
        return {name for name in queues if not broker.has_queue(connection, name)}


def _queue(app: Celery, name: str) -> Any:
    """Return the queue object for a name.

    Given only the name, Celery would add the queue to those that a worker consumes, when a worker
    that runs tasks in its own process reconnects.
    """
    return app.amqp.queues.get(name) or app.amqp.queues.new_missing(name)
