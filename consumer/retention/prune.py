"""Retention: what is older than so many days goes, in small transactions, the oldest first."""

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
    """How many rows of each kind went, or would go.

    kept          entries that are older and still needed
    is_finished   False: its time was over before its work
    """

    rows: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    is_finished: bool = True


def counted(days: int, now: datetime) -> Pruned:
    """What `prune` would do. Writes nothing."""
    before = now - timedelta(days=days)
    rows: Counter[str] = Counter()
    entries = retention_entries.prunable(before)
    deliveries = Delivery.objects.filter(entry__in=entries.values("pk")).order_by()
    rows += Counter(entries=entries.count(), deliveries=deliveries.count())
    rows += Counter({name: each.count() for name, each in _beside(before).items()})
    return Pruned(rows, retention_entries.older(before).count() - rows["entries"])


def total(days: int, now: datetime) -> Total:
    """About how many rows go, beside the deliveries of entries. Some may be needed and stay."""
    before = now - timedelta(days=days)
    found = [
        total_of(rows) for rows in (retention_entries.older(before), *_beside(before).values())
    ]
    known = [one.number for one in found if one.number is not None]
    if len(known) < len(found):
        return Total(None)
    return Total(sum(known), is_estimate=any(one.is_estimate for one in found))


def prune(
    days: int,
    now: datetime,
    *,
    is_over: Callable[[], bool] = lambda: False,
    watch: Callable[[int], object] = lambda _: None,
) -> Pruned:
    """Delete what is older, until `is_over()`; `watch` is told how many rows each step took, those
    of deliveries left out. Never inside a transaction.

    It can be killed anywhere and is then run again; several at once do no harm.
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
    """What goes with the audit log. An unreadable message stays while its incident is open."""
    open_ones = Incident.objects.filter(
        listener=OuterRef("listener"), kind__in=_UNREADABLE, closed_at=None
    )
    read = Quarantined.objects.filter(received_at__lt=before, ingested_at__isnull=False)
    given_up = Quarantined.objects.filter(~Exists(open_ones), received_at__lt=before)
    return {
        "quarantined": read | given_up,
        "incidents": Incident.objects.filter(closed_at__lt=before),
        "throughput": Throughput.objects.filter(minute__lt=before),
    }


def _delete(name: str, rows: Any, ids: list[int]) -> Counter[str]:
    """A row that was taken up again meanwhile stays."""
    with transaction.atomic(durable=True):
        return Counter({name: rows.filter(pk__in=ids).order_by().delete()[0]})
