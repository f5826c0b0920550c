"""Sends the external tasks of mappings that do not track them; such deliveries end as sent."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import structlog
from celery import Celery

from handlers.dead_letters.groups import group_of
from handlers.models import Delivery
from handlers.outbox import publish
from handlers.sdk.outcomes import Failed, Skipped, storable
from handlers.superseded.prepare import present_of
from handlers.tracking.messages import message_of
from handlers.types import Message
from listeners import crash_points

log = structlog.get_logger(__name__)

State = Delivery.State


def send(app: Celery, ids: Collection[int], now: datetime) -> int:
    """Send the ready deliveries among `ids` and mark them; return how many. Raises the errors of
    the broker."""
    if not ids:
        return 0
    claimed = Delivery.objects.claim_sending(ids, now)
    messages = _messages(claimed, now)
    sending = [pk for message in messages for pk in message.ids]
    try:
        publish.declare(app, {message.queue for message in messages})
        publish.send(messages, app)
    except BaseException:
        Delivery.objects.release_sending(sending)
        raise
    if sending:
        crash_points.reach("sent")
        Delivery.objects.mark_sent(sending, now)
        crash_points.reach("published")
    return len(messages)


def _messages(ids: Collection[int], now: datetime) -> list[Message]:
    """Return the messages for claimed deliveries.

    Skips changes whose record was deleted since, and ends deliveries whose payload is refused. A
    delivery whose present values cannot be read keeps its claim, so that the next try waits until
    the claim expires.
    """
    rows = Delivery.objects.filter(pk__in=ids).order_by("id")
    deliveries = list(rows.select_related("entry__listener", "mapping"))
    results = present_of(deliveries)
    messages = []
    for delivery in deliveries:
        match message_of(delivery, delivery.attempts + 1, results.get(delivery.pk)):
            case Message() as message:
                messages.append(message)
            case Skipped(reason):
                Delivery.objects.skip_sending({delivery.pk: reason}, now)
            case Failed(error, is_final=True):
                _refuse(delivery, error, now)
            case Failed(error):
                log.warning("external delivery postponed", delivery=delivery.pk, reason=error)
    return messages


def _refuse(delivery: Delivery, error: str, now: datetime) -> None:
    """End a claimed delivery as a dead letter without sending it."""
    Delivery.objects.filter(pk=delivery.pk, state=State.READY).update(
        state=State.DEAD,
        error=storable(error),
        error_group=group_of(delivery, error),
        queued_at=None,
        finished_at=now,
    )
