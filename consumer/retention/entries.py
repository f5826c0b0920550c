"""Delete old audit log entries, with their deliveries and attempts.

An entry that is still needed is kept: one with an unfinished or halting delivery, one whose record
is still to be read, or one with an unfinished reconciliation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Exists, OuterRef, Q

from audit.models import AuditLogEntry, DirtyRecord, Reconciliation
from handlers.models import Delivery, DeliveryAttempt
from listeners.models import Position


def older(before: datetime) -> Any:
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
    return older(before).filter(*(~Exists(rows) for rows in needed))


def pages(before: datetime, size: int) -> Iterator[list[int]]:
    """Yield pages of ids, oldest first. The order by time and id follows an index, so that no row
    is read twice."""
    found = prunable(before).order_by("received_at", "pk").values_list("received_at", "pk")
    page = list(found[:size])
    while page:
        yield [pk for _, pk in page]
        at, last = page[-1]
        later = Q(received_at__gt=at) | Q(received_at=at, pk__gt=last)
        page = list(found.filter(later, received_at__gte=at)[:size])


def delete(ids: Sequence[int], before: datetime) -> Counter[str]:
    """Delete the entries that are still prunable, in one transaction; never inside another.

    The lock on the positions keeps out recording and redelivery, which could need an entry.
    """
    with transaction.atomic(durable=True):
        owners = AuditLogEntry.objects.filter(pk__in=ids).order_by().values("listener_id")
        Position.objects.filter(listener__in=owners).lock()
        return _delete(list(prunable(before).filter(pk__in=ids).values_list("pk", flat=True)))


def _delete(ids: Sequence[int]) -> Counter[str]:
    """Delete without Django's collector, which would read every row to find references."""
    Reconciliation.objects.filter(entry__in=ids).update(entry=None)
    deliveries = Delivery.objects.filter(entry__in=ids).order_by()
    attempts = DeliveryAttempt.objects.filter(delivery__in=deliveries.values("pk")).order_by()
    attempts._raw_delete(DEFAULT_DB_ALIAS)
    return Counter(
        deliveries=deliveries._raw_delete(DEFAULT_DB_ALIAS),
        entries=AuditLogEntry.objects.filter(pk__in=ids)._raw_delete(DEFAULT_DB_ALIAS),
    )
