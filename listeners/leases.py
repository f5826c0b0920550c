"""Leases of listeners, and the one lock of a listener's position.

A lease has one holder at a time, by compare-and-swap on the database's own clock.

LeaseLost   another process has taken the listener over
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

#: A holder that was killed is replaced after this long at most; renewed three times within it.
LEASE = timedelta(seconds=10)
#: A process that has not said for this long that it is there counts no more where free listeners
#: are shared out. What it holds stays its own as long as the leases last.
PRESENCE = timedelta(seconds=5)


class LeaseLost(Exception):
    """Another process has taken the listener over; nothing was written. Nothing to do."""


@dataclass(frozen=True)
class Lease:
    listener_id: int
    holder: str
    epoch: int


def lease_end() -> Combinable:
    """When a lease ends that is taken or renewed now, on the database's clock."""
    return Now() + LEASE


class PositionQuerySet(models.QuerySet[Any]):
    def locked(self, *, skip_locked: bool = False) -> PositionQuerySet:
        """Lock these positions as the query is evaluated, until the caller's transaction ends.

        Guards     what is added to a listener's record and deliveries, and its lease: recording,
                   completing gaps, backfilling, redelivering, moving deliveries to another lane or
                   handler, pruning and deleting a listener exclude each other.
        Role       inside the caller's transaction; Django refuses it outside of one, on PostgreSQL.
        Order      after rows of configuration (connection, listener, mapping), and before any
                   delivery (`DeliveryQuerySet.locked`), incident or job. Several positions are
                   locked in the order of their ids.
        Strength   FOR NO KEY UPDATE: excludes itself, updates and deletion, and not a reader.
                   SQLite, where a transaction that writes has the whole file, needs none.

        `skip_locked`: without those that somebody else has locked, instead of waiting for them.
        """
        return self.order_by("pk").select_for_update(no_key=True, skip_locked=skip_locked)

    def lock(self) -> list[Any]:
        """Lock these positions, as `locked` says, and return them."""
        return list(self.locked())

    def lock_listener(self, listener_id: int) -> None:
        """Lock the position of a listener, as `locked` says; create it where there is none."""
        self.bulk_create([self.model(listener_id=listener_id)], ignore_conflicts=True)
        self.filter(listener_id=listener_id).lock()

    def acquire(self, listener_id: int, holder: str) -> Lease | None:
        """Take a free or expired lease with the next epoch; None while somebody else holds it."""
        leases = self.acquire_several([listener_id], holder)
        return leases[0] if leases else None

    def acquire_several(self, listener_ids: Sequence[int], holder: str) -> list[Lease]:
        """Those that are free, with the next epoch. Never inside a transaction.

        One that somebody is writing to is passed over: it is not waited for here.
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
        """Push the ends of one holder's leases back; those that were lost.

        One that is being recorded for is passed over: recording pushes its end back itself.
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
        return bool(self.held(lease).update(holder="", lease_until=None))

    def held(self, lease: Lease) -> PositionQuerySet:
        """The position, while this lease still is the current one."""
        return self.filter(listener_id=lease.listener_id, holder=lease.holder, epoch=lease.epoch)

    def with_life(self) -> PositionQuerySet:
        """With `is_held`: whether a process holds a live lease."""
        annotated: PositionQuerySet = self.annotate(
            is_held=~Q(holder="") & Q(lease_until__gt=Now())
        )
        return annotated
