"""Deliveries of any state to their handlers again: what is asked for is fixed in one transaction,
and then done in steps, at once where they are few, by a worker, or by who asked."""

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

#: So many are done while who asked waits: one dead letter is sent again without any delay.
AT_ONCE = 500
#: A count that is waited for may take so many seconds.
COUNT_SECONDS = 3.0
#: A statement that is waited for may take so many: a web server gives up after 30.
LONGEST = 20.0


class Grown(Exception):
    """More is meant than was asked for: ask again."""


@contextmanager
def in_a_request() -> Iterator[None]:
    """Raises TooMany before the web server gives up."""
    try:
        with time_limit(LONGEST):
            yield
    except TookTooLong:
        raise TooMany(
            "Those are too many to be picked while you wait: narrow it down, or use "
            "manage.py redeliver_cdc_events."
        ) from None


def counted(wish: Wish) -> Counts:
    """What a redelivery would do. Writes nothing."""
    counts = _counted(wish)
    for entry_ids in _pages(wish.entries):
        counts += new_handlers.counted(entry_ids, wish.handler)
    return counts


def foreseen(wish: Wish) -> tuple[Counts | None, Total]:
    """The same of its deliveries for who waits, and how many they are; None: those are too many to
    tell one from the other now."""
    try:
        with time_limit(COUNT_SECONDS):
            counts = _counted(wish)
    except TookTooLong:
        return None, total_of(wish.deliveries)
    return counts, Total(counts.total())


def overtaken(wish: Wish, seconds: float = LONGEST) -> int | None:
    """How many of its deliveries later changes of their records have overtaken; None where it takes
    longer than that to tell."""
    try:
        with time_limit(seconds):
            return count_overtaken(wish.deliveries)
    except TookTooLong:
        return None


def begin(wish: Wish, now: datetime, *, at_most: int | None = None) -> Redelivery:
    """Fix what is meant, and have it done: at once where it is little, or by the workers.

    Never inside a transaction. Raises Grown when more than `at_most` are meant, and TooMany.
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
    """Fix what is meant, for this process to do. Never inside a transaction."""
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
        raise RuntimeError("a redelivery that nobody else sees was taken by another")
    return claim


def _counted(wish: Wish) -> Counts:
    counts: Counts = Counts()
    mappings = HandlerMapping.objects.in_bulk()
    kinds = wish.deliveries.order_by().values_list("handler", "state", "mapping_id")
    for handler, state, mapping_id, number in kinds.annotate(number=Count("id")):
        counts[judged(handler, state, mappings.get(mapping_id))] += number
    return counts


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
