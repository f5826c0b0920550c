"""Who runs a listener: one holder at a time, by compare-and-swap on the database's own clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

#: A holder that was killed is replaced after this long at most; renewed three times within it.
LEASE = timedelta(seconds=10)


class LeaseLost(Exception):
    """Another process has taken the listener over; nothing was written. Nothing to do."""


@dataclass(frozen=True)
class Lease:
    listener_id: int
    holder: str
    epoch: int


class PositionQuerySet(models.QuerySet[Any]):
    def acquire(self, listener_id: int, holder: str) -> Lease | None:
        """Take a free or expired lease with the next epoch; None while somebody else holds it."""
        self.bulk_create([self.model(listener_id=listener_id)], ignore_conflicts=True)
        free = Q(holder="") | Q(lease_until__isnull=True) | Q(lease_until__lt=Now())
        taken = self.filter(free, listener_id=listener_id).update(
            holder=holder, epoch=F("epoch") + 1, lease_until=Now() + LEASE
        )
        if not taken:
            return None
        position = self.filter(listener_id=listener_id, holder=holder).first()
        return Lease(listener_id, holder, position.epoch) if position else None

    def renew(self, lease: Lease) -> bool:
        """Push the lease's end back; False when it was lost."""
        return bool(self.held(lease).update(lease_until=Now() + LEASE))

    def release(self, lease: Lease) -> bool:
        return bool(self.held(lease).update(holder="", lease_until=None))

    def held(self, lease: Lease) -> PositionQuerySet:
        """The position, while this lease still is the current one."""
        return self.filter(listener_id=lease.listener_id, holder=lease.holder, epoch=lease.epoch)
