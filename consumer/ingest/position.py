"""Lock, move and annotate a listener's position under its lease.

LeaseLost     another process has the listener
CommitsLost   the position is not where the previous batch left it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models.functions import Coalesce, Now

from audit.db.prepared import Param, Prepared, update_query
from audit.models import AuditLogEntry
from consumer import incidents
from consumer.ingest.shared_ids import HeldBack, is_after
from listeners.leases import Lease, LeaseLost, lease_end
from listeners.models import Position

_LEASE = {name: Param(name) for name in ("listener_id", "holder", "epoch")}
_HELD = Prepared(lambda: Position.objects.filter(**_LEASE).locked())


def _advance(*names: str) -> Prepared:
    """Return the update of the fields of a position that moves, and of its lease."""
    return Prepared(
        lambda: update_query(
            Position.objects.filter(**_LEASE),
            lease_until=lease_end(),
            unrecorded_since=None,
            last_event_at=Param("last_event_at"),
            **{name: Param(name) for name in names},
        )
    )


_ADVANCE = _advance("replay_id")
_ADVANCE_HELD_BACK = _advance(*(field.name for field in fields(HeldBack)))


class CommitsLost(Exception):
    """The database lost commits: a standby took over without them, or they were not on disk.

    Recording the next message would leave a gap. The listener subscribes again from the stored
    position.
    """


def hold(
    lease: Lease,
    expected_position: str | None = None,
    end: str = "",
    *,
    nothing_follows: bool = False,
) -> Position:
    """Lock the position for this transaction.

    Raises LeaseLost if the lease is not current, and CommitsLost if the position is neither where
    the previous batch left it, at `expected_position` (a `Position.position_token`), nor where this
    batch, which ends with the id `end`, leaves it: there the commit succeeded, and only its
    confirmation was lost. `nothing_follows`: the batch is a keep-alive.
    """
    held = _HELD.objects(**asdict(lease))
    if not held:
        raise LeaseLost
    position: Position = held[0]
    if (
        expected_position is not None
        and position.position_token != expected_position
        and not is_after(position, expected_position, end, nothing_follows=nothing_follows)
    ):
        raise CommitsLost
    return position


def advance(
    lease: Lease,
    replay_id: str,
    entries: Sequence[AuditLogEntry],
    held_back: HeldBack | None = None,
) -> None:
    """Move the position past the recorded entries, and renew the lease. Inside the caller's
    transaction. `held_back`: the position on a channel with shared ids. Raises LeaseLost."""
    if replay_id and entries:
        last_event_at = incidents.utc_of(max(e.commit_timestamp for e in entries))
        given = {**asdict(lease), "last_event_at": last_event_at}
        if held_back is None:
            moved = _ADVANCE.execute(**given, replay_id=replay_id)
        else:
            moved = _ADVANCE_HELD_BACK.execute(**given, **asdict(held_back))
    else:
        changes = {"replay_id": replay_id} if replay_id else {}
        changes |= asdict(held_back) if held_back else {}
        moved = Position.objects.held(lease).update(
            lease_until=lease_end(), unrecorded_since=None, **changes
        )
    if not moved:
        raise LeaseLost


def note_unrecorded(lease: Lease, seconds: float, *, renew: bool = False) -> None:
    """Note that no commit succeeded for so many seconds; with `renew`, also renew the lease.

    Skips a position that another transaction has locked. Never inside a transaction.
    """
    changes: dict[str, Any] = {
        "unrecorded_since": Coalesce("unrecorded_since", Now() - timedelta(seconds=seconds))
    }
    if renew:
        changes["lease_until"] = lease_end()
    held = Position.objects.held(lease)
    with transaction.atomic(durable=True):
        unlocked = held.locked(skip_locked=True).values_list("pk", flat=True)
        held.filter(pk__in=list(unlocked)).update(**changes)
