"""Sends external deliveries to their destinations, always after the commit: claim → load → payload
→ send. A destination that is down holds up only its own deliveries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime

import structlog
from celery import Celery

from audit.db.retry import retry
from handlers.broker import BrokerUnavailable
from handlers.external import apps
from handlers.mappings.retarget import is_misdirected, move_left_behind
from handlers.models import Delivery, Destination
from handlers.outbox import publish
from handlers.sdk.events import Present
from handlers.sdk.outcomes import MAPPING_DELETED, Failed, Outcome, Skipped
from handlers.sdk.registry import queue_of
from handlers.superseded.prepare import present_of
from handlers.tracking import claims, untracked
from handlers.tracking.messages import message_of
from handlers.tracking.reports import callbacks, reports_queue
from handlers.tracking.settle import settle
from handlers.types import Claim, Ended, Message
from listeners import crash_points
from listeners.clock import database_clock

log = structlog.get_logger(__name__)


def send_external(ids: Sequence[int], now: datetime) -> int:
    """Send the external deliveries among `ids` that are ready or due for a retry; return how many
    were sent.

    Those of a destination that is down stay as they are. Never inside a transaction. Raises
    BrokerUnavailable if that is our own broker, after sending to the others.
    """
    tracked_by_destination: defaultdict[int | None, dict[int, bool]] = defaultdict(dict)
    rows = Delivery.objects.filter(pk__in=ids, is_external=True).order_by("id")
    for pk, is_tracked, destination_id in rows.values_list(
        "pk", "is_tracked", "mapping__destination_id"
    ):
        tracked_by_destination[destination_id][pk] = is_tracked
    for destination_id in apps.paused():
        tracked_by_destination.pop(destination_id, None)
    destinations = Destination.objects.in_bulk([pk for pk in tracked_by_destination if pk])
    sent, failure = 0, None
    for destination_id, is_tracked in tracked_by_destination.items():
        destination = destinations.get(destination_id) if destination_id else None
        tracked = [pk for pk in is_tracked if is_tracked[pk]]
        others = [pk for pk in is_tracked if not is_tracked[pk]]
        try:
            with apps.sending(destination) as app:
                sent += _send_tracked(app, destination, tracked, now)
                sent += untracked.send(app, others, now)
        except BrokerUnavailable as error:
            if destination is None:
                failure = error
            else:
                log.warning("deliveries wait for their destination", reason=str(error))
    if failure is not None:
        raise failure
    return sent


def _send_tracked(
    app: Celery, destination: Destination | None, ids: Collection[int], now: datetime
) -> int:
    """Raises the errors of the broker."""
    if not ids:
        return 0
    # Before the claims, so that a broker that is down costs no attempt.
    queues = Delivery.objects.filter(pk__in=ids).values_list("handler", "queue").distinct()
    names = {queue_of(name, queue, is_external=True) for name, queue in queues.order_by()}
    publish.declare(app, {*names, reports_queue()})
    claimed = claims.claim(ids, destination, now)
    crash_points.reach("claimed_to_send")
    unsendable: dict[int, Ended] = {}
    try:
        messages = _messages(claimed, destination, unsendable, now)
        publish.send(messages, app)
    except BaseException:
        unsent = [claim for claim in claimed if claim.delivery.pk not in unsendable]
        retry(lambda: claims.release(unsent), "release claims")
        raise
    finally:
        settle(list(unsendable.values()))  # the relay publishes the next ones of their chains
    crash_points.reach("sent")
    return len(messages)


def _messages(
    claimed: Sequence[Claim],
    destination: Destination | None,
    unsendable: dict[int, Ended],
    now: datetime,
) -> list[Message]:
    """Return the messages for claims. Add the ends of those that are not sent to `unsendable`.

    Deliveries whose mapping names another target since are released and moved to it.
    """
    place = destination.pk if destination else None
    moved = [
        claim
        for claim in claimed
        if is_misdirected(claim.delivery) or claim.delivery.mapping.destination_id != place
    ]
    if moved:
        claims.release(moved)
        move_left_behind(Delivery.objects.filter(pk__in=[c.delivery.pk for c in moved]), now)
    remaining = [claim for claim in claimed if claim not in moved]
    results = present_of([claim.delivery for claim in remaining])
    messages: list[Message] = []
    for claim in remaining:
        match _message(claim, results.get(claim.delivery.pk), destination):
            case Message() as message:
                messages.append(message)
            case outcome:
                ended = Ended(claim, outcome, claim.started_at, database_clock.now())
                unsendable[claim.delivery.pk] = ended
    return messages


def _message(
    claim: Claim,
    overtaken: Present | Skipped | Failed | None,
    destination: Destination | None,
) -> Message | Outcome:
    if claim.delivery.active_mapping is None:
        return Skipped(MAPPING_DELETED)
    # A result that is not read is not stored.
    keeps_result = destination is not None and bool(destination.result_backend)
    options = {**callbacks(claim), "ignore_result": not keeps_result}
    return message_of(claim.delivery, claim.attempt, overtaken, **options)
