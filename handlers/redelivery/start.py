"""Start a redelivery, or count what it would do.

A start fixes the targets in one transaction. The steps then run in the request when there are few
targets, otherwise in a worker or in the command.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.db.models import Count, Exists, Max, OuterRef

from audit.action_log import Action, note
from audit.db.row_count import TookTooLong, Total, time_limit, total_of
from audit.jobs.claim import SENT_AGAIN
from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping, Redelivery, RedeliveryTarget
from handlers.redelivery import new_handlers
from handlers.redelivery.job import ROWS, RedeliveryClaim, attend, send
from handlers.redelivery.request import ON_THEIR_WAY, Counts, RedeliveryRequest, TooMany, row_for
from handlers.routing.router import views

State = Delivery.State
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


def counted(request: RedeliveryRequest) -> Counts:
    """Return what a redelivery would do. Writes nothing."""
    counts = _counted(request)
    for entry_ids in _pages(request.entries):
        counts += new_handlers.counted(entry_ids, request.handler)
    return counts


def preview(request: RedeliveryRequest) -> tuple[Counts | None, Total]:
    """Return what a redelivery would do with its deliveries, and their number, within a time limit.

    The counts are None when they took too long.
    """
    try:
        with time_limit(COUNT_SECONDS):
            counts = _counted(request)
    except TookTooLong:
        return None, total_of(request.deliveries)
    return counts, Total(counts.total())


def overtaken(request: RedeliveryRequest, seconds: float = LONGEST) -> int | None:
    """Return how many of the deliveries later changes of their records have overtaken; None when
    the count takes longer than `seconds`."""
    try:
        with time_limit(seconds):
            return count_overtaken(request.deliveries)
    except TookTooLong:
        return None


def begin(request: RedeliveryRequest, now: datetime, *, at_most: int | None = None) -> Redelivery:
    """Start a redelivery, which runs here when it has few targets, otherwise in the workers.

    Never inside a transaction. Raises Grown when it has more than `at_most` targets, and TooMany.
    """
    with transaction.atomic(durable=True):
        with in_a_request():
            redelivery = _create(request, now)
        if at_most is not None and redelivery.total > at_most:
            raise Grown
        claim = _claimed(redelivery, now) if redelivery.total <= AT_ONCE else None
    if claim:
        attend(claim)
    else:
        send(redelivery.pk)
    redelivery.refresh_from_db()
    return redelivery


def claimed(request: RedeliveryRequest, now: datetime) -> RedeliveryClaim:
    """Start a redelivery that this process runs, and claim it. Never inside a transaction."""
    with transaction.atomic(durable=True):
        return _claimed(_create(request, now), now)


def _create(request: RedeliveryRequest, now: datetime) -> Redelivery:
    redelivery = Redelivery.objects.create(
        requested_by=str(request.by)[:150],
        reason=request.reason,
        criteria=request.criteria,
        handler=request.handler,
        as_recorded=request.as_recorded,
        requested_at=now,
        due_at=now + SENT_AGAIN,
    )
    redelivery.total = _insert_targets(request, redelivery)
    redelivery.save(update_fields=["total"])
    name, why = str(redelivery.pk), request.reason
    note(request.by, Action.REDELIVER, redelivery, name=name, reason=why, details=request.criteria)
    return redelivery


def _claimed(redelivery: Redelivery, now: datetime) -> RedeliveryClaim:
    claim = RedeliveryClaim.of(redelivery.pk, now)
    if claim is None:
        raise RuntimeError("an uncommitted redelivery was claimed by another process")
    return claim


def _counted(request: RedeliveryRequest) -> Counts:
    counts: Counts = Counts()
    mappings = HandlerMapping.objects.in_bulk()
    groups = request.deliveries.order_by().values_list("handler", "state", "mapping_id")
    for handler, state, mapping_id, number in groups.annotate(number=Count("id")):
        counts[row_for(handler, state, mappings.get(mapping_id))] += number
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


def _insert_targets(request: RedeliveryRequest, redelivery: Redelivery) -> int:
    """Insert the targets of a redelivery, so that later changes are not included; return how many.

    Inside the caller's transaction.
    """
    number = _insert_rows(request.deliveries, "state", redelivery, is_entry=False)
    if request.entries is not None:
        number += _insert_rows(request.entries, "''", redelivery, is_entry=True)
    return number


def _insert_rows(rows: Any, state: str, redelivery: Redelivery, *, is_entry: bool) -> int:
    names = ["id"] if is_entry else ["id", "state"]
    compiler = rows.order_by().values_list(*names).query.get_compiler(DEFAULT_DB_ALIAS)
    try:
        picked, parameters = compiler.as_sql()
    except EmptyResultSet:
        return 0
    quoted = connection.ops.quote_name
    table = quoted(RedeliveryTarget._meta.db_table)
    columns = ", ".join(quoted(name) for name in ("redelivery_id", "is_entry", "row_id", "state"))
    sql = " ".join(
        [
            f"INSERT INTO {table} ({columns})",
            # A filter over several tables may pick a row twice.
            f"SELECT DISTINCT CAST(%s AS bigint), %s, picked.id, {state}",
            # Inserting in the order of the primary key halves the time for a million rows.
            f"FROM ({picked}) AS picked ORDER BY picked.id",
        ]
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [redelivery.pk, is_entry, *parameters])
        return int(cursor.rowcount)


def count_overtaken(deliveries: Any) -> int:
    """Return how many of the deliveries are overtaken. One query for each mapping.

    A delivery is overtaken when its record has a later change whose delivery to the same target, if
    any, is not waiting for its first attempt.
    """
    candidates = deliveries.order_by().exclude(state__in=ON_THEIR_WAY)
    mapping_ids = set(candidates.values_list("mapping_id", flat=True).distinct())
    listeners = HandlerMapping.objects.filter(pk__in=mapping_ids).order_by().values("listener_id")
    by_listener: defaultdict[int, list[HandlerMapping]] = defaultdict(list)
    for mapping in HandlerMapping.objects.filter(listener__in=listeners):
        by_listener[mapping.listener_id].append(mapping)
    return sum(
        _count_for_mapping(candidates.filter(mapping=pk), view)
        for mappings in by_listener.values()
        for pk, view in views(mappings).items()
        if pk in mapping_ids
    )


def _count_for_mapping(deliveries: Any, view: frozenset[int]) -> int:
    unbegun = (State.BLOCKED, State.READY, State.QUEUED)
    waiting = Delivery.objects.filter(
        entry=OuterRef("pk"), mapping__in=view, state__in=unbegun, attempts=0
    )
    # The listener is compared as a range, for the reason given in `superseded.history`.
    later = AuditLogEntry.objects.filter(
        ~Exists(waiting),
        record_id=OuterRef("entry__record_id"),
        listener_id__gte=OuterRef("entry__listener_id"),
        listener_id__lte=OuterRef("entry__listener_id"),
        pk__gt=OuterRef("entry_id"),
    )
    return int(deliveries.filter(Exists(later.order_by())).count())
