"""Sends the external tasks of mappings that do not track them; such deliveries end as sent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from celery import Celery
from django.db import transaction

from audit.db.bulk_insert import insert
from handlers.dead_letters.groups import group_of
from handlers.external import closed_queues
from handlers.models import Delivery, Destination
from handlers.sdk.outcomes import MAPPING_DELETED, Failed, Skipped, failed, storable
from handlers.superseded.prepare import present_of
from handlers.tracking.messages import message_of
from handlers.tracking.transmit import Sent, transmit
from handlers.types import Claim, Ended, Message
from handlers.worker import metrics as attempt_metrics
from handlers.worker.run_log import log_after_commit
from handlers.worker.settle import attempt_of
from listeners import crash_points
from listeners.clock import database_clock

log = structlog.get_logger(__name__)

State = Delivery.State


def send(app: Celery, destination: Destination | None, ids: Collection[int], now: datetime) -> int:
    """Send the ready deliveries among `ids` and mark them; return how many. Raises the errors of
    the broker."""
    if not ids:
        return 0
    claimed = Delivery.objects.claim_sending(ids, now)
    rows = Delivery.objects.filter(pk__in=claimed).order_by("id")
    by_id = {row.pk: row for row in rows.select_related("entry__listener", "mapping")}
    messages = _messages(list(by_id.values()), now)  # may take minutes
    renewed_at = max(now, database_clock.now())
    ids = [message.ids[0] for message in messages]
    held = set(Delivery.objects.renew_sending(ids, now, renewed_at))
    messages = [message for message in messages if message.ids[0] in held]
    sent = Sent()
    try:
        transmit(app, messages, sent)
    finally:
        ended = [*sent.arrived, *sent.uncertain, *(message for message, _ in sent.invalid)]
        unsent = {message.ids[0] for message in messages} - {message.ids[0] for message in ended}
        Delivery.objects.release_sending(unsent, renewed_at)
        for message, error in sent.invalid:
            failure = replace(failed(error), is_final=True)
            _refuse(by_id[message.ids[0]], failure, now)
    if sent.arrived:
        crash_points.reach("sent")
    # An uncertain one keeps its claim, so that it is sent again only after the claim expires.
    Delivery.objects.mark_sent([message.ids[0] for message in sent.arrived], now)
    crash_points.reach("published")
    for queue in {by_id[message.ids[0]].queue for message in sent.refused}:
        closed_queues.note(destination, queue, closed_queues.REFUSES)
    if sent.failure is not None:
        raise sent.failure
    return len(sent.arrived)


def _messages(deliveries: Sequence[Delivery], now: datetime) -> list[Message]:
    """Return the messages for claimed deliveries.

    Skips changes whose record or mapping was deleted since, and ends deliveries whose payload is
    refused. A delivery whose present values cannot be read keeps its claim, so that the next try
    waits until the claim expires.
    """
    results = present_of(deliveries)
    messages = []
    for delivery in deliveries:
        if delivery.active_mapping is None:
            Delivery.objects.skip_sending({delivery.pk: MAPPING_DELETED}, now)
            continue
        match message_of(delivery, delivery.attempts + 1, results.get(delivery.pk)):
            case Message() as message:
                messages.append(message)
            case Skipped(reason):
                Delivery.objects.skip_sending({delivery.pk: reason}, now)
            case Failed(error, is_final=False) if isinstance(results.get(delivery.pk), Failed):
                log.warning("external delivery postponed", delivery=delivery.pk, reason=error)
            case Failed() as failure:
                _refuse(delivery, replace(failure, is_final=True), now)
    return messages


def _refuse(delivery: Delivery, failure: Failed, now: datetime) -> None:
    """End a claimed delivery as a dead letter without sending it."""
    attempt = delivery.attempts + 1
    claim = Claim(delivery, attempt, delivery.queued_at or now)
    ended = Ended(claim, failure, claim.started_at, now)
    changes = {"state": State.DEAD, "error": storable(failure.error), "finished_at": now}
    with transaction.atomic(durable=True):
        claimed = Delivery.objects.being_sent([delivery.pk]).filter(attempts=delivery.attempts)
        is_ours = claimed.update(
            **changes,
            attempts=attempt,
            error_group=group_of(delivery, failure.error),
            queued_at=None,
        )
        if is_ours:
            insert([attempt_of(ended)])
            log_after_commit(ended, changes)
    if is_ours:
        attempt_metrics.settled([ended])
