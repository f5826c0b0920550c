"""Leases of listeners, and the lock of a listener's position row.

A lease has one holder at a time, by compare-and-swap on the database's own clock.

LeaseLost   another process has taken over the listener
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

#: The longest time until a killed holder is replaced. A lease is renewed three times within it.
LEASE = timedelta(seconds=10)
#: A process without a heartbeat for this long gets no more listeners assigned. It keeps those that
#: it runs until their leases end.
PRESENCE = timedelta(seconds=5)


class LeaseLost(Exception):
    """Another process has taken over the listener, and nothing was written. No action is needed."""


@dataclass(frozen=True)
class Lease:
    listener_id: int
    holder: str
    epoch: int


def lease_end() -> Combinable:
    """Return the end of a lease that is taken or renewed now, on the database's clock."""
    return Now() + LEASE


class PositionQuerySet(models.QuerySet[Any]):
    def locked(self, *, skip_locked: bool = False) -> PositionQuerySet:
        """Lock these positions when the query is evaluated, until the caller's transaction ends.

        Guards     the listener's lease and additions to its audit log and deliveries: recording,
                   completing gaps, backfilling, redelivering, moving deliveries to another lane or
                   handler, pruning and deleting a listener exclude each other.
        Role       inside the caller's transaction; on PostgreSQL, Django raises outside of one.
        Order      after configuration rows (connection, listener, mapping), and before any
                   delivery (`DeliveryQuerySet.locked`), incident or job. Several positions are
                   locked in the order of their ids.
        Strength   FOR NO KEY UPDATE: blocks other such locks, updates and deletion, but no reader.
                   SQLite needs no row lock: a writing transaction locks the whole file.

        `skip_locked`: leave out positions that another transaction has locked, instead of waiting.
        """
        return self.order_by("pk").select_for_update(no_key=True, skip_locked=skip_locked)

    def lock(self) -> list[Any]:
        """Lock these positions like `locked`, and return them."""
        return list(self.locked())

    def lock_listener(self, listener_id: int) -> None:
        """Lock the position of a listener like `locked`, and create it if it does not exist."""
        self.bulk_create([self.model(listener_id=listener_id)], ignore_conflicts=True)
        self.filter(listener_id=listener_id).lock()

    def acquire(self, listener_ids: Sequence[int], holder: str) -> list[Lease]:
        """Take the free and expired leases of these listeners, each with its next epoch.

        Never inside a transaction. Skips a position that another transaction has locked.
        """
        self.bulk_create([self.model(listener_id=pk) for pk in listener_ids], ignore_conflicts=True)
        free = Q(holder="") | Q(lease_until__isnull=True) | Q(lease_until__lt=Now())
        with transaction.atomic():
            found = list(self.filter(free, listener_id__in=listener_ids).locked(skip_locked=True))
            self.filter(listener_id__in=[position.pk for position in found]).update(
                holder=holder, epoch=F("epoch") + 1, lease_until=lease_end()
            )
        return [Lease(position.pk, holder, position.epoch + 1) for position in found]

    def renew(self, leases: Sequence[Lease]) -> list[Lease]:
        """Extend the leases of one holder, and return those that were lost.

        Skips a listener whose changes are being recorded: recording extends the lease itself.
        """
        epochs = {lease.listener_id: lease.epoch for lease in leases}
        ours = self.filter(listener_id__in=epochs, holder__in={lease.holder for lease in leases})
        with transaction.atomic():
            found = ours.locked(skip_locked=True).values_list("listener_id", "epoch")
            kept = [pk for pk, epoch in found if epochs[pk] == epoch]
            self.filter(listener_id__in=kept).update(lease_until=lease_end())
        held = set(ours.values_list("listener_id", "holder", "epoch"))
        return [
            lease for lease in leases if (lease.listener_id, lease.holder, lease.epoch) not in held
        ]

    def release(self, lease: Lease) -> bool:
        """Give up the lease; False if it was lost before."""
        return bool(self.held(lease).update(holder="", lease_until=None))

    def held(self, lease: Lease) -> PositionQuerySet:
        """Return the position of the lease's listener, if the lease is still the current one."""
        return self.filter(listener_id=lease.listener_id, holder=lease.holder, epoch=lease.epoch)

    def with_life(self) -> PositionQuerySet:
        """Annotate positions with `is_held`: whether a process holds a lease that has not ended."""
        annotated: PositionQuerySet = self.annotate(
            is_held=~Q(holder="") & Q(lease_until__gt=Now())
        )
        return annotated
