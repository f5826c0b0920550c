"""Outbox → broker: ready deliveries are published in pipelined batches, then marked queued.

Always after the commit, never inside a transaction: what fails here stays in the database as
ready, and the relay publishes it again.

BrokerUnavailable   nothing is marked; the relay tries again, so only the broker needs care
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from celery import Celery, current_app
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Q
from kombu.exceptions import BatchPublishError, LimitExceeded, OperationalError

from handlers import registry
from handlers.events import EventData
from handlers.models import Delivery
from listeners import milestones

log = structlog.get_logger(__name__)

BATCH = 1000


class BrokerUnavailable(Exception):
    """The broker does not answer. What is ready stays ready; check CELERY_BROKER_URL."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message for a worker. Its id names the delivery and the attempt it is for."""

    delivery_id: int
    attempts: int
    task: str
    queue: str
    kwargs: dict[str, Any]

    @property
    def task_id(self) -> str:
        return f"delivery-{self.delivery_id}-{self.attempts + 1}"


def publish(delivery_ids: Sequence[int], now: datetime) -> int:
    """Publish deliveries that are ready or due for a retry, and mark them; returns how many.

    Deliveries whose handler is not registered wait, and so do those whose mapping is paused.
    Raises BrokerUnavailable.
    """
    if connections[DEFAULT_DB_ALIAS].in_atomic_block:
        raise RuntimeError("deliveries are published after the commit, not inside a transaction")
    published = 0
    for start in range(0, len(delivery_ids), BATCH):
        published += _publish_batch(delivery_ids[start : start + BATCH], now)
    return published


def publish_or_leave(delivery_ids: Sequence[int], now: datetime) -> bool:
    """Publish, or leave it to the relay when the broker is away; whether they were published."""
    try:
        publish(delivery_ids, now)
    except BrokerUnavailable as error:
        log.warning("what is ready waits for the relay", reason=str(error))
        return False
    return True


def start(task: str, **kwargs: int | str) -> None:
    """Send a task of ours to the workers. Raises BrokerUnavailable."""
    app: Celery = current_app._get_current_object()
    with _broker_errors(app), app.producer_pool.acquire(block=True, timeout=10) as producer:
        app.send_task(task, kwargs=kwargs, producer=producer, retry=False, ignore_result=True)


def _publish_batch(ids: Sequence[int], now: datetime) -> int:
    # Queued ones were lost with the broker; a retry is published when it is due and not before.
    publishable = Q(state__in=(Delivery.State.READY, Delivery.State.QUEUED)) | Q(
        state=Delivery.State.RETRYING, due_at__lte=now
    )
    found = list(
        Delivery.objects.filter(publishable, pk__in=ids)
        .order_by("id")
        .values_list("id", "attempts", "handler", "queue", "is_external", "mapping__paused_at")
    )
    rows = [row for *row, paused_at in found if not paused_at]
    if paused := [row[0] for row in found if row[-1]]:
        Delivery.objects.set_aside(paused)
    tracked = [
        _tracked(*row) for *row, elsewhere in rows if not elsewhere and registry.find(row[2])
    ]
    mine = Delivery.objects.claim_sending([row[0] for row in rows if row[4]], now)
    external = [
        _external(delivery)
        for delivery in Delivery.objects.filter(pk__in=mine)
        .order_by("id")
        .select_related("entry__listener")
    ]
    try:
        _send([*tracked, *external])
    except BrokerUnavailable:
        Delivery.objects.let_go(mine)
        raise
    milestones.reach("sent")
    Delivery.objects.mark_queued({m.delivery_id: m.attempts for m in tracked}, now)
    Delivery.objects.mark_sent(mine, now)
    milestones.reach("published")
    return len(tracked) + len(external)


def _tracked(pk: int, attempts: int, name: str, queue: str) -> Message:
    return Message(pk, attempts, name, queue_of(name, queue), {"delivery_id": pk})


def _external(delivery: Delivery) -> Message:
    return Message(
        delivery.pk,
        delivery.attempts,
        delivery.handler,
        queue_of(delivery.handler, delivery.queue),
        {"event": EventData.of(delivery.entry).to_dict()},
    )


def queue_of(handler: str, queue: str) -> str:
    """The Celery queue: the mapping's, then the handler's, then the default."""
    registered = registry.find(handler)
    chosen = queue or (registered.queue if registered else None)
    return chosen or str(current_app.conf.task_default_queue)


def queue_length(queue: str) -> int | None:
    """How many messages wait in a queue; 0 when it is not there, None when the broker does not say.

    Raises BrokerUnavailable.
    """
    app: Celery = current_app._get_current_object()
    with _broker_errors(app), app.connection_for_read() as broker:
        try:
            declared = broker.default_channel.queue_declare(queue, passive=True)
        except broker.channel_errors:
            return 0
        return getattr(declared, "message_count", None)


def _send(messages: Sequence[Message]) -> None:
    if not messages:
        return
    app: Celery = current_app._get_current_object()
    with (
        _broker_errors(app),
        app.producer_pool.acquire(block=True, timeout=10) as producer,
        # Transports without pipelining send each message as it comes.
        producer.batch(max_size=BATCH),
    ):
        for message in messages:
            task = app.amqp.as_task_v2(
                message.task_id, message.task, kwargs=message.kwargs, ignore_result=True
            )
            app.amqp.send_task_message(
                producer, message.task, task, queue=message.queue, retry=False
            )


@contextmanager
def _broker_errors(app: Celery) -> Iterator[None]:
    """A batch that failed half-way may have arrived; a second copy is harmless."""
    with app.connection_for_write() as unused:
        errors = (*unused.connection_errors, *unused.channel_errors)
    try:
        yield
    except (*errors, OperationalError, BatchPublishError, LimitExceeded) as error:
        raise BrokerUnavailable(f"the broker does not take messages: {error}") from error
