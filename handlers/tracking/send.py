"""Sends external deliveries to their destinations, always after the commit: claim → load → payload
→ send. A destination that is down holds up only its own deliveries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from random import sample
from time import monotonic

import structlog
from celery import Celery
from django.db import DatabaseError, InterfaceError

from audit.db.retry import retry
from handlers.broker import BrokerUnavailable
from handlers.external import apps, closed_queues
from handlers.mappings.retarget import is_misdirected, move_left_behind
from handlers.models import Delivery, Destination
from handlers.outbox import publish
from handlers.sdk.outcomes import MAPPING_DELETED, Outcome, Skipped, failed
from handlers.sdk.registry import queue_of
from handlers.superseded.masking import hidden_values, masked
from handlers.superseded.prepare import present_of
from handlers.tracking import claims, untracked
from handlers.tracking.messages import message_of
from handlers.tracking.reports import callbacks, reports_queue
from handlers.tracking.settle import settle
from handlers.tracking.transmit import Sent, transmit
from handlers.types import Claim, Ended, Message
from listeners import crash_points
from listeners.clock import database_clock

log = structlog.get_logger(__name__)

#: The number of deliveries that are claimed and sent at once.
BATCH = 100
#: Seconds after which a call begins no further batch, so that the tasks and threads that call it
#: come to their other work. A relay finds the deliveries that are left.
SECONDS = 20.0


def _never() -> bool:
    return False


def send_external(ids: Sequence[int], now: datetime, is_over: Callable[[], bool] = _never) -> int:
    """Send the external deliveries among `ids` that are ready or due for a retry; return how many
    were sent.

    Those of a destination that is down stay as they are, and so do those that are not sent when
    `is_over` returns true. Never inside a transaction. Raises BrokerUnavailable if that is our own
    broker, after sending to the others.
    """
    tracked_by_destination: defaultdict[int | None, dict[int, bool]] = defaultdict(dict)
    rows = Delivery.objects.filter(pk__among=list(ids), is_external=True).order_by("id")
    for pk, is_tracked, destination_id in rows.values_list(
        "pk", "is_tracked", "mapping__destination_id"
    ):
        tracked_by_destination[destination_id][pk] = is_tracked
    for destination_id in apps.unreachable():
        tracked_by_destination.pop(destination_id, None)
    destinations = Destination.objects.in_bulk([pk for pk in tracked_by_destination if pk])
    sent, failure, end = 0, None, monotonic() + SECONDS
    # In no fixed order: those that take long must not always be the first.
    for destination_id in sample(list(tracked_by_destination), len(tracked_by_destination)):
        destination = destinations.get(destination_id) if destination_id else None
        name = destination.name if destination else ""
        try:
            sent += _send_to(destination, tracked_by_destination[destination_id], now, end, is_over)
        except BrokerUnavailable as error:
            if destination is None:
                failure = error
            else:
                log.warning("deliveries wait for their destination", reason=str(error))
        except (DatabaseError, InterfaceError):
            raise
        except Exception:  # others, and what the caller does next, must not wait for it
            log.exception("deliveries cannot be sent", destination=name)
        if monotonic() > end:
            break
    if failure is not None:
        raise failure
    return sent


def _send_to(
    destination: Destination | None,
    is_tracked: Mapping[int, bool],
    now: datetime,
    end: float,
    is_over: Callable[[], bool],
) -> int:
    """Send deliveries, given with whether they are tracked. Raises the errors of the broker."""
    sent = 0
    # If the broker still fails, it costs the claim of one delivery.
    size = 1 if apps.has_failed(destination) else BATCH
    with apps.sending(destination) as app:
        waiting = _with_queue(app, destination, is_tracked)
        while waiting:
            batch, size = list(waiting)[:size], BATCH
            moment = max(now, database_clock.now())
            tracked = [pk for pk in batch if is_tracked[pk]]
            sent += _send_tracked(app, destination, tracked, moment, is_over)
            others = [pk for pk in batch if not is_tracked[pk]]
            sent += untracked.send(app, destination, others, moment)
            closed = _closed(destination)
            waiting = {
                pk: queue
                for pk, queue in waiting.items()
                if pk not in batch and queue not in closed
            }
            if monotonic() > end or is_over():
                break
    return sent


def _with_queue(
    app: Celery, destination: Destination | None, ids: Collection[int]
) -> dict[int, str]:
    """Return the deliveries whose queue takes tasks, as far as it is known, and their queues.

    Raises the errors of the broker, before the first claim: a broker that is down costs no attempt.
    """
    rows = Delivery.objects.filter(pk__in=ids).order_by("id").values_list("pk", "handler", "queue")
    found = list(rows)
    names = {queue: queue_of(handler, queue, is_external=True) for _, handler, queue in found}
    publish.declare(app, {reports_queue()})
    new = names.keys() - _closed(destination)
    if destination is None:
        publish.declare(app, {names[queue] for queue in new})
    else:
        missing = publish.absent(app, {names[queue] for queue in new})
        absent = {queue for queue in new if names[queue] in missing}
        for queue in absent:
            closed_queues.note(destination, queue, closed_queues.ABSENT)
        new -= absent
    return {pk: queue for pk, _, queue in found if queue in new}


def _closed(destination: Destination | None) -> set[str]:
    place = destination.pk if destination else None
    return {queue for pk, queue in closed_queues.closed() if pk == place}


def _send_tracked(
    app: Celery,
    destination: Destination | None,
    ids: Collection[int],
    now: datetime,
    is_over: Callable[[], bool],
) -> int:
    """Raises the errors of the broker."""
    if not ids:
        return 0
    claimed = claims.claim(ids, destination, now)
    crash_points.reach("claimed_to_send")
    unsent = {claim.delivery.pk: claim for claim in claimed}
    unsendable: dict[int, Ended] = {}
    sent = Sent()
    try:
        messages = _messages(unsent, destination, unsendable, now)  # may take minutes
        transmit(app, [] if is_over() else messages, sent)
        for message, error in sent.invalid:
            claim = unsent[message.ids[0]]
            unsendable[claim.delivery.pk] = _ended(claim, failed(error))
    finally:
        for pk in (*unsendable, *(m.ids[0] for m in (*sent.arrived, *sent.uncertain))):
            unsent.pop(pk, None)
        retry(lambda: claims.release(unsent.values()), "release claims")
        settle(list(unsendable.values()))  # the relay publishes the next ones of their chains
    for queue in {unsent[message.ids[0]].delivery.queue for message in sent.refused}:
        closed_queues.note(destination, queue, closed_queues.REFUSES)
    if sent.arrived:
        crash_points.reach("sent")
    if sent.uncertain:
        log.warning(
            "the connection broke while tasks were sent: they wait for their reports",
            destination=destination.name if destination else "",
            deliveries=[message.ids[0] for message in sent.uncertain],
        )
    if sent.failure is not None:
        raise sent.failure
    return len(sent.arrived)


def _messages(
    unsent: dict[int, Claim],
    destination: Destination | None,
    unsendable: dict[int, Ended],
    now: datetime,
) -> list[Message]:
    """Return the messages for claims. Add the ends of those that are not sent to `unsendable`.

    Deliveries whose mapping names another target since are released and moved to it.
    """
    place = destination.pk if destination else None
    moved = {pk: claim for pk, claim in unsent.items() if _is_moved(claim.delivery, place)}
    if moved:
        claims.release(moved.values())
        for pk in moved:
            del unsent[pk]
        move_left_behind(Delivery.objects.filter(pk__in=moved), now)
    results = present_of([claim.delivery for claim in unsent.values()])
    messages: list[Message] = []
    for pk, claimed in list(unsent.items()):
        claim = unsent[pk] = replace(claimed, overtaken=results.get(pk))
        match _message(claim, destination):
            case Message() as message if not _is_overdue(claim):
                messages.append(message)
            case Message():
                continue  # its outcome may be settled as unknown already
            case outcome:
                unsendable[pk] = _ended(claim, outcome)
    return messages


def _is_moved(delivery: Delivery, place: int | None) -> bool:
    """Return whether the mapping names another task, queue or destination since."""
    mapping = delivery.active_mapping
    return (
        is_misdirected(delivery)
        or delivery.mapping.destination_id != place
        or (mapping is not None and delivery.queue != mapping.queue)
    )


def _is_overdue(claim: Claim) -> bool:
    deadline = claim.delivery.claim_deadline
    return deadline is not None and deadline <= database_clock.now()


def _ended(claim: Claim, outcome: Outcome) -> Ended:
    outcome = masked(outcome, hidden_values([claim]))
    return Ended(claim, outcome, claim.started_at, database_clock.now())


def _message(claim: Claim, destination: Destination | None) -> Message | Outcome:
    delivery = claim.delivery
    if delivery.active_mapping is None:
        return Skipped(MAPPING_DELETED)
    # A result that is not read is not stored.
    keeps_result = destination is not None and bool(destination.result_backend)
    options = {**callbacks(claim), "ignore_result": not keeps_result}
    deadline = delivery.claim_deadline
    return message_of(delivery, claim.attempt, claim.overtaken, deadline=deadline, **options)
