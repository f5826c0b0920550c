"""Deliveries of any state to their handlers again.

In steps, each of them one transaction that keeps the order of each record, and each published after
its commit: a redelivery that is killed half-way has done what its row counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from django.db import OperationalError, transaction
from django.db.models import Count, F, Max

from audit.actions import Action, note
from audit.models import AuditLogEntry
from handlers import dispatch, latecomers
from handlers.models import Delivery, HandlerMapping, Redelivery
from handlers.redelivery import Counts, Wish, judged, sent
from handlers.requeue import requeue
from listeners.models import Position

log = structlog.get_logger(__name__)

ROWS = 1000
#: Seconds between the tries of a step that the database broke off: a deadlock with who deletes a
#: mapping, say.
PAUSES = (0.1, 0.5, 2.0)

#: What a step did, and the deliveries to publish after it.
Done = tuple[Counts, list[int]]


def counted(wish: Wish) -> Counts:
    """What `redeliver` would do. Writes nothing."""
    counts: Counts = Counts()
    mappings = HandlerMapping.objects.in_bulk()
    kinds = wish.deliveries.order_by().values_list("handler", "state", "mapping_id")
    for handler, state, mapping_id, number in kinds.annotate(number=Count("id")):
        counts[judged(handler, state, mappings.get(mapping_id))] += number
    for entry_ids in _pages(wish.entries):
        counts += latecomers.counted(entry_ids, wish.handler)
    return counts


def redeliver(wish: Wish, now: datetime) -> tuple[Redelivery, Counts]:
    """Send them again, and publish them; what the broker does not take now, the relay publishes.

    Never inside a transaction.
    """
    redelivery = _begun(wish, now)
    counts: Counts = Counts()
    is_published = True
    for step in _steps(wish, redelivery, now):
        done, ready = _held_out(step)
        counts += done
        is_published = is_published and dispatch.publish_or_leave(ready, now)
    redelivery.refresh_from_db()
    log.info("redelivered", redelivery=redelivery.pk, by=str(wish.by), deliveries=sent(counts))
    return redelivery, counts


def _begun(wish: Wish, now: datetime) -> Redelivery:
    with transaction.atomic(durable=True):
        redelivery = Redelivery.objects.create(
            requested_by=str(wish.by)[:150],
            reason=wish.reason,
            criteria=wish.criteria,
            requested_at=now,
        )
        name, why = str(redelivery.pk), wish.reason
        note(wish.by, Action.REDELIVER, redelivery, name=name, reason=why, details=wish.criteria)
    return redelivery


def _steps(wish: Wish, redelivery: Redelivery, now: datetime) -> Iterator[Callable[[], Done]]:
    for ids in _pages(wish.deliveries):
        yield partial(_again, ids, redelivery, now)
    for entry_ids in _pages(wish.entries):
        yield partial(_for_the_first_time, entry_ids, wish.handler, redelivery)


def _pages(rows: Any) -> Iterator[list[int]]:
    """Ids, a page at a time, up to the highest that there is now: each is seen once."""
    if rows is None:
        return
    bare = rows.order_by()
    last, top = 0, bare.aggregate(top=Max("pk"))["top"] or 0
    following = bare.filter(pk__lte=top).order_by("pk").values_list("pk", flat=True)
    while page := list(following.filter(pk__gt=last)[:ROWS]):
        yield page
        last = page[-1]


def _held_out(step: Callable[[], Done]) -> Done:
    """Try it again while the database breaks it off."""
    for pause in PAUSES:
        try:
            return step()
        except OperationalError as error:
            log.warning("a step is done again", reason=str(error).strip())
            time.sleep(pause)
    return step()


def _again(ids: Sequence[int], redelivery: Redelivery, now: datetime) -> Done:
    owners = Delivery.objects.filter(pk__in=ids).order_by().values("entry__listener_id")
    with transaction.atomic(durable=True):
        _keep_recording_out(owners)
        return _counted_in(redelivery, requeue(ids, redelivery, now))


def _for_the_first_time(entry_ids: Sequence[int], handler: str, redelivery: Redelivery) -> Done:
    owners = AuditLogEntry.objects.filter(pk__in=entry_ids).order_by().values("listener_id")
    with transaction.atomic(durable=True):
        _keep_recording_out(owners)
        return _counted_in(redelivery, latecomers.deliver_to(entry_ids, handler, redelivery))


def _keep_recording_out(owners: Any) -> None:
    """Until the caller's transaction ends: who records adds deliveries to the same chains."""
    found = Position.objects.filter(listener__in=owners).order_by("pk")
    list(found.select_for_update().values_list("pk"))


def _counted_in(redelivery: Redelivery, done: Done) -> Done:
    number = sent(done[0])
    Redelivery.objects.filter(pk=redelivery.pk).update(count=F("count") + number)
    return done
