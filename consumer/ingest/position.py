"""A listener's position, held and moved by who records for it.

LeaseLost     another process has the listener
CommitsLost   the position is not where the batch before left it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models.functions import Coalesce, Now

from audit.db.prepared import Given, Prepared, changing
from audit.models import AuditLogEntry
from consumer import incidents
from listeners.leases import Lease, LeaseLost, lease_end
from listeners.models import Position

_LEASE = {name: Given(name) for name in ("listener_id", "holder", "epoch")}
_HELD = Prepared(lambda: Position.objects.filter(**_LEASE).locked())
_ADVANCE = Prepared(
    lambda: changing(
        Position.objects.filter(**_LEASE),
        lease_until=lease_end(),
        unrecorded_since=None,
        replay_id=Given("replay_id"),
        last_event_at=Given("last_event_at"),
    )
)


class CommitsLost(Exception):
    """A standby took over that lacked the last commits, or they were not on disk: to go on with the
    next message would leave a gap. The listener begins anew from where the position is."""


def hold(lease: Lease, follows: str | None = None, end: str = "") -> Position:
    """Lock the position for this transaction, if the lease still is the current one, and the
    position where it was left; or at the `end` of the batch, when only the answer to its commit was
    lost."""
    held = _HELD.objects(**asdict(lease))
    if not held:
        raise LeaseLost
    position: Position = held[0]
    if follows is not None and position.replay_id not in (follows, end):
        raise CommitsLost
    return position


def advance(lease: Lease, replay_id: str, entries: Sequence[AuditLogEntry]) -> None:
    """Past what was recorded, and the lease's end with it. Inside the caller's transaction."""
    if replay_id and entries:
        last_event_at = incidents.moment(max(e.commit_timestamp for e in entries))
        moved = _ADVANCE.execute(**asdict(lease), replay_id=replay_id, last_event_at=last_event_at)
    else:
        changes = {"replay_id": replay_id} if replay_id else {}
        moved = Position.objects.held(lease).update(
            lease_until=lease_end(), unrecorded_since=None, **changes
        )
    if not moved:
        raise LeaseLost


def note_unrecorded(lease: Lease, seconds: float, *, renew: bool = False) -> None:
    """Say that nothing could be committed for so long; `renew`: and keep the lease. Never inside a
    transaction.

    Whoever has the position locked is not waited for.
    """
    changes: dict[str, Any] = {
        "unrecorded_since": Coalesce("unrecorded_since", Now() - timedelta(seconds=seconds))
    }
    if renew:
        changes["lease_until"] = lease_end()
    held = Position.objects.held(lease)
    with transaction.atomic(durable=True):
        free = held.locked(skip_locked=True).values_list("pk", flat=True)
        held.filter(pk__in=list(free)).update(**changes)
