"""Start a redelivery: fix its targets in one transaction, then run it in steps, in the request when
there are few targets, otherwise in a worker or in the command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, Max

from audit.action_log import Action, note
from audit.db.row_count import TookTooLong, Total, time_limit, total_of
from audit.jobs.claim import SENT_AGAIN
from handlers.models import HandlerMapping, Redelivery
from handlers.redelivery import new_handlers
from handlers.redelivery.claim import RedeliveryClaim
from handlers.redelivery.job import attend, send
from handlers.redelivery.request import Counts, TooMany, Wish, judged
from handlers.redelivery.steps import ROWS
from handlers.redelivery.targets import fix
from handlers.superseded.counts import overtaken as count_overtaken

#: Most targets that are redelivered within the request, so that one dead letter does not wait.
AT_ONCE = 500
#: Time limit of a count within a request, in seconds.
COUNT_SECONDS = 3.0
#: Time limit of a statement within a request, in seconds: a web server gives up after 30.
LONGEST = 20.0


class Grown(Exception):
    """More deliveries match than the operator confirmed. Ask for confirmation again."""


@contextmanager
def in_a_request() -> Iterator[None]:
    """Raise TooMany when a statement takes so long that the web server would time out."""
    try:
        with time_limit(LONGEST):
            yield
    except TookTooLong:
        raise TooMany(
            "Too many deliveries match to select them within a request: narrow the filter, or use "
            "manage.py redeliver_cdc_events."
        ) from None


def counted(wish: Wish) -> Counts:
    """Return what a redelivery would do. Writes nothing."""
    counts = _counted(wish)
    for entry_ids in _pages(wish.entries):
        counts += new_handlers.counted(entry_ids, wish.handler)
    return counts


def foreseen(wish: Wish) -> tuple[Counts | None, Total]:
    """Return what a redelivery would do with its deliveries, and their number, within a time limit.

    The counts are None when they took too long.
    """
    try:
        with time_limit(COUNT_SECONDS):
            counts = _counted(wish)
    except TookTooLong:
        return None, total_of(wish.deliveries)
    return counts, Total(counts.total())


def overtaken(wish: Wish, seconds: float = LONGEST) -> int | None:
    """Return how many of the deliveries later changes of their records have overtaken; None when
    the count takes longer than `seconds`."""
    try:
        with time_limit(seconds):
            return count_overtaken(wish.deliveries)
    except TookTooLong:
        return None


def begin(wish: Wish, now: datetime, *, at_most: int | None = None) -> Redelivery:
    """Start a redelivery, which runs here when it has few targets, otherwise in the workers.

    Never inside a transaction. Raises Grown when it has more than `at_most` targets, and TooMany.
    """
    with transaction.atomic(durable=True):
        with in_a_request():
            redelivery = _fixed(wish, now)
        if at_most is not None and redelivery.total > at_most:
            raise Grown
        claim = _claimed(redelivery, now) if redelivery.total <= AT_ONCE else None
    if claim:
        attend(claim)
    else:
        send(redelivery.pk)
    redelivery.refresh_from_db()
    return redelivery


def claimed(wish: Wish, now: datetime) -> RedeliveryClaim:
    """Start a redelivery that this process runs, and claim it. Never inside a transaction."""
    with transaction.atomic(durable=True):
        return _claimed(_fixed(wish, now), now)


def _fixed(wish: Wish, now: datetime) -> Redelivery:
    redelivery = Redelivery.objects.create(
        requested_by=str(wish.by)[:150],
        reason=wish.reason,
        criteria=wish.criteria,
        handler=wish.handler,
        as_recorded=wish.as_recorded,
        requested_at=now,
        due_at=now + SENT_AGAIN,
    )
    redelivery.total = fix(wish, redelivery)
    redelivery.save(update_fields=["total"])
    name, why = str(redelivery.pk), wish.reason
    note(wish.by, Action.REDELIVER, redelivery, name=name, reason=why, details=wish.criteria)
    return redelivery


def _claimed(redelivery: Redelivery, now: datetime) -> RedeliveryClaim:
    claim = RedeliveryClaim.of(redelivery.pk, now)
    if claim is None:
        raise RuntimeError("an uncommitted redelivery was claimed by another process")
    return claim


def _counted(wish: Wish) -> Counts:
    counts: Counts = Counts()
    mappings = HandlerMapping.objects.in_bulk()
    groups = wish.deliveries.order_by().values_list("handler", "state", "mapping_id")
    for handler, state, mapping_id, number in groups.annotate(number=Count("id")):
        counts[judged(handler, state, mappings.get(mapping_id))] += number
    return counts


def _pages(rows: Any) -> Iterator[list[int]]:
    """Yield pages of ids, up to the highest id at the start, so that each row is counted once."""
    if rows is None:
        return
    unordered = rows.order_by()
    last, top = 0, unordered.aggregate(top=Max("pk"))["top"] or 0
    following = unordered.filter(pk__lte=top).order_by("pk").values_list("pk", flat=True)
    while page := list(following.filter(pk__gt=last)[:ROWS]):
        yield page
        last = page[-1]
