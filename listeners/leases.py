"""Who runs a listener: one holder at a time, by compare-and-swap on the database's own clock."""

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
            unlocked = self.select_for_update(skip_locked=True)
            found = list(unlocked.filter(free, listener_id__in=listener_ids))
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
            found = ours.select_for_update(skip_locked=True).values_list("listener_id", "epoch")
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
