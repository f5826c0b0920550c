"""Delete data older than a number of days, oldest first, in small transactions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef

from audit.db.row_count import Total, total_of
from audit.models import Incident, Quarantined, Throughput
from consumer.retention import entries as retention_entries
from handlers.models import Delivery

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
    entries = retention_entries.prunable(before)
    deliveries = Delivery.objects.filter(entry__in=entries.values("pk")).order_by()
    rows += Counter(entries=entries.count(), deliveries=deliveries.count())
    rows += Counter({name: each.count() for name, each in _beside(before).items()})
    return Pruned(rows, retention_entries.older(before).count() - rows["entries"])


def total(days: int, now: datetime) -> Total:
    """Estimate how many rows are to be deleted, deliveries not counted. Entries still needed are
    included, although they are kept."""
    before = now - timedelta(days=days)
    found = [
        total_of(rows) for rows in (retention_entries.older(before), *_beside(before).values())
    ]
    known = [count.number for count in found if count.number is not None]
    if len(known) < len(found):
        return Total(None)
    return Total(sum(known), is_estimate=any(count.is_estimate for count in found))


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
        pruned.kept = retention_entries.older(before).count()
    log.info("pruned", days=days, finished=pruned.is_finished, **pruned.rows)
    return pruned


def _steps(before: datetime) -> Iterator[Callable[[], Counter[str]]]:
    for ids in retention_entries.pages(before, ROWS):
        yield partial(retention_entries.delete, ids, before)
    for name, rows in _beside(before).items():
        while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:ROWS]):
            yield partial(_delete, name, rows, ids)


def _beside(before: datetime) -> dict[str, Any]:
    """Return the other rows to delete, by kind. An undecodable message is kept while its incident
    is open."""
    open_ones = Incident.objects.filter(
        listener=OuterRef("listener"), kind__in=_UNREADABLE, closed_at=None
    )
    read = Quarantined.objects.filter(received_at__lt=before, ingested_at__isnull=False)
    abandoned = Quarantined.objects.filter(~Exists(open_ones), received_at__lt=before)
    return {
        "quarantined": read | abandoned,
        "incidents": Incident.objects.filter(closed_at__lt=before),
        "throughput": Throughput.objects.filter(minute__lt=before),
    }


def _delete(name: str, rows: Any, ids: list[int]) -> Counter[str]:
    """Delete the rows that still match: one may have been reopened since it was selected."""
    with transaction.atomic(durable=True):
        return Counter({name: rows.filter(pk__in=ids).order_by().delete()[0]})
