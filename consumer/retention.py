"""Retention: delete data older than a number of days, oldest first, in small transactions.

An audit log entry is deleted with its deliveries and attempts. One that is still needed is kept: an
entry with an unfinished or halting delivery, one whose record is still to be read, or one with an
unfinished reconciliation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from audit.action_log import Actor
from audit.db.row_count import Total, total_of
from audit.jobs.tracked import TrackedJob
from audit.models import (
    AuditLogEntry,
    DirtyRecord,
    Incident,
    Quarantined,
    Reconciliation,
    Throughput,
    Work,
)
from handlers.models import Delivery, DeliveryAttempt
from listeners.models import Position
from mirror.retention import old_differences, old_runs

log = structlog.get_logger(__name__)

ROWS = 1000

_UNREADABLE = (Incident.Kind.UNDECODABLE, Incident.Kind.MALFORMED_ANSWER)


@dataclass(slots=True)
class Pruned:
    """How many rows of each kind were deleted, or would be.

    kept          older entries that are still needed
    is_finished   False if the time ran out first
    """

    rows: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    is_finished: bool = True


def counted(days: int, now: datetime) -> Pruned:
    """Return what `prune` would delete. Writes nothing."""
    before = now - timedelta(days=days)
    rows: Counter[str] = Counter()
    entries = prunable(before)
    deliveries = Delivery.objects.filter(entry__in=entries.values("pk")).order_by()
    rows += Counter(entries=entries.count(), deliveries=deliveries.count())
    rows += Counter({name: each.count() for name, each in _beside(before).items()})
    return Pruned(rows, _older(before).count() - rows["entries"])


def total(days: int, now: datetime) -> Total:
    """Estimate how many rows are to be deleted, deliveries not counted. Entries still needed are
    included, although they are kept."""
    before = now - timedelta(days=days)
    found = [total_of(rows) for rows in (_older(before), *_beside(before).values())]
    known = [count.number for count in found if count.number is not None]
    if len(known) < len(found):
        return Total(None)
    return Total(sum(known), is_estimate=any(count.is_estimate for count in found))


def begin(days: int, by: Actor | None, expected: Total) -> TrackedJob:
    """Create the job that shows the progress of a pruning. Inside any transaction."""
    return TrackedJob.begin(Work.Kind.PRUNE, by, {"older_than_days": days}, expected)


def prune_slice(days: int, work_id: int | None, *, is_over: Callable[[], bool]) -> int | None:
    """Run a slice of the scheduled pruning; return its job's id if it is to be continued. Never
    inside a transaction."""
    now = timezone.now()
    work = TrackedJob.resume(work_id) if work_id is not None else None
    work = work or begin(days, None, total(days, now))
    pruned = prune_tracked(days, now, work, is_over=is_over)
    return None if pruned.is_finished else work.row.pk


def prune_tracked(
    days: int,
    now: datetime,
    work: TrackedJob,
    *,
    is_over: Callable[[], bool] = lambda: False,
    watch: Callable[[int], object] = lambda _: None,
) -> Pruned:
    """Do what `prune` does, and save the progress and the result in the job's row."""

    def advance(rows: int) -> None:
        work.advance(rows)
        watch(rows)

    try:
        pruned = prune(days, now, is_over=is_over, watch=advance)
    except KeyboardInterrupt:
        work.end(Work.State.BROKEN_OFF)
        raise
    except Exception as error:
        work.end(Work.State.FAILED, error=f"{type(error).__name__}: {error}")
        raise
    before = {"entries": 0, "deliveries": 0, **work.row.outcome}  # of earlier slices
    outcome = before | {name: before.get(name, 0) + rows for name, rows in pruned.rows.items()}
    if pruned.is_finished:
        work.end(**outcome | {"kept": pruned.kept})
    else:
        work.pause(outcome)
    return pruned


def prune(
    days: int,
    now: datetime,
    *,
    is_over: Callable[[], bool] = lambda: False,
    watch: Callable[[int], object] = lambda _: None,
) -> Pruned:
    """Delete older data until `is_over()`, calling `watch` with the number of rows that each step
    deleted, deliveries not counted. Never inside a transaction.

    It can be killed at any point and run again, also by several processes at once.
    """
    before = now - timedelta(days=days)
    pruned = Pruned()
    for step in _steps(before):
        if is_over():
            pruned.is_finished = False
            break
        done = step()
        pruned.rows += done
        watch(done.total() - done["deliveries"])
    if pruned.is_finished:
        pruned.kept = _older(before).count()
    log.info("pruned", days=days, finished=pruned.is_finished, **pruned.rows)
    return pruned


def _steps(before: datetime) -> Iterator[Callable[[], Counter[str]]]:
    for ids in pages(before, ROWS):
        yield partial(delete_entries, ids, before)
    for name, rows in _beside(before).items():
        while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:ROWS]):
            yield partial(_delete_beside, name, rows, ids)


def _older(before: datetime) -> Any:
    """Return the entries received before this time."""
    return AuditLogEntry.objects.filter(received_at__lt=before).order_by()


def prunable(before: datetime) -> Any:
    """Return the entries received before this time that are no longer needed."""
    needed = (
        Delivery.objects.filter(
            Q(state__in=Delivery.UNENDED) | Q(halts=True), entry=OuterRef("pk")
        ),
        DirtyRecord.objects.filter(entry=OuterRef("pk")),
        Reconciliation.objects.filter(entry=OuterRef("pk")).exclude(
            state=Reconciliation.State.DONE
        ),
    )
    return _older(before).filter(*(~Exists(rows) for rows in needed))


def pages(before: datetime, size: int) -> Iterator[list[int]]:
    """Yield pages of the ids of prunable entries, oldest first. The order by time and id follows an
    index, so that no row is read twice."""
    found = prunable(before).order_by("received_at", "pk").values_list("received_at", "pk")
    page = list(found[:size])
    while page:
        yield [pk for _, pk in page]
        at, last = page[-1]
        later = Q(received_at__gt=at) | Q(received_at=at, pk__gt=last)
        page = list(found.filter(later, received_at__gte=at)[:size])


def delete_entries(ids: Sequence[int], before: datetime) -> Counter[str]:
    """Delete the entries that are still prunable, in one transaction; never inside another.

    The lock on the positions keeps out recording and redelivery, which could need an entry. Deletes
    without Django's collector, which would read every row to find references.
    """
    with transaction.atomic(durable=True):
        owners = AuditLogEntry.objects.filter(pk__among=ids).order_by().values("listener_id")
        Position.objects.filter(listener__in=owners).lock()
        left = list(prunable(before).filter(pk__among=ids).values_list("pk", flat=True))
        Reconciliation.objects.filter(entry__among=left).update(entry=None)
        of_left = Delivery.objects.filter(entry__among=left).order_by()
        deliveries = list(of_left.values_list("pk", flat=True))
        _delete(DeliveryAttempt.objects.filter(delivery__among=deliveries))
        return Counter(
            deliveries=_delete(Delivery.objects.filter(pk__among=deliveries)),
            entries=_delete(AuditLogEntry.objects.filter(pk__among=left)),
        )


def _delete(rows: Any) -> int:
    deleted: int = rows.order_by()._raw_delete(DEFAULT_DB_ALIAS)
    return deleted


def _beside(before: datetime) -> dict[str, Any]:
    """Return the rows to delete beside entries, by kind, in this order. An undecodable message is
    kept while its incident is open."""
    open_ones = Incident.objects.filter(
        listener=OuterRef("listener"), kind__in=_UNREADABLE, closed_at=None
    )
    read = Quarantined.objects.filter(received_at__lt=before, ingested_at__isnull=False)
    abandoned = Quarantined.objects.filter(~Exists(open_ones), received_at__lt=before)
    return {
        "quarantined": read | abandoned,
        "incidents": Incident.objects.filter(closed_at__lt=before),
        "throughput": Throughput.objects.filter(minute__lt=before),
        "differences": old_differences(before),
        "mirror_runs": old_runs(before),
    }


def _delete_beside(name: str, rows: Any, ids: list[int]) -> Counter[str]:
    """Delete the rows that still match: one may have been reopened since it was selected."""
    with transaction.atomic(durable=True):
        return Counter({name: rows.filter(pk__in=ids).order_by().delete()[0]})
