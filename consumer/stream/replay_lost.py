"""Handles a position that Salesforce refuses: opens an incident with the lost window, plans a
comparison, and resets the position by the listener's policy."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from audit.models import Incident, Reconciliation, Trouble
from consumer.ingest import position as ingest_position
from consumer.reconciliation import schedule
from listeners.leases import Lease
from listeners.listener_state import RETENTION
from listeners.models import Listener, Position
from listeners.salesforce.errors import ReplayLost, quoted
from listeners.salesforce.events import PRESETS

_NEXT_STEP = {
    Listener.ReplayLost.EARLIEST: "The listener continues with the earliest event that Salesforce "
    "retains.",
    Listener.ReplayLost.TIP: "The listener continues with new events only.",
    Listener.ReplayLost.STOP: "The listener has stopped: forget its position, or choose another "
    "on_replay_lost.",
}
_COMPARES = "Salesforce is compared with the audit log over REST, from the window's start on. "
_AFTER = (
    "Missing changes are recorded and delivered. The comparison begins when the listener has "
    "caught up."
)
_AT_ONCE = "Missing changes are recorded and delivered now, while the listener is stopped."
_REMEDY = "Nothing, unless the comparison fails: this incident closes when it is complete. "
_REMEDY_STOPPED = "Restart the listener as described above. "


def record(listener: Listener, lease: Lease, lost: ReplayLost, now: datetime) -> str:
    """Open an incident, plan the comparison, and reset the position by the policy, in one
    transaction. Return the stored replay id.

    Raises LeaseLost. Never inside a transaction.
    """
    policy = Listener.ReplayLost(listener.on_replay_lost)
    with transaction.atomic(durable=True):
        position = ingest_position.hold(lease)
        start = min(complete_until(listener, position), now)
        trouble = _trouble(listener, position, lost, start, now)
        incident = Incident.objects.report(listener.pk, trouble, now)
        Incident.objects.filter(pk=incident.pk).update(action=trouble.action)
        reason = Reconciliation.Reason.REPLAY_LOST
        schedule.plan(listener, reason, start, now, incident, now=now)
        match policy:
            case Listener.ReplayLost.EARLIEST:
                changes: dict[str, Any] = {"replay_id": "-2", "tip_since": now}
            case Listener.ReplayLost.TIP:
                changes = {"replay_id": "-1", "tip_since": None}
            case Listener.ReplayLost.STOP:
                return position.replay_id
        # The mark of a managed subscription is set again when Salesforce accepts a commit.
        changes |= {"named_at": None, "replay_id_at": None, "subscription": ""}
        changes |= Position.NOT_HELD_BACK
        Position.objects.held(lease).update(**changes)
    return str(changes["replay_id"])


def complete_until(listener: Listener, position: Position) -> datetime:
    """Return the time up to which every committed change is known to be recorded.

    It is the latest of these, since each of them proves that: the commit of the last recorded
    change, as changes come in commit order; an empty response when all messages before it were
    recorded; the keep-alive that the position names; the tip at which the listener began, or the
    last loss, which has its own incident, while no event follows. The last response alone
    (`last_received_at`) proves nothing: more changes may have been on their way, or received and
    not recorded when the process died.

    For a listener that begins at a replay id of unknown age, it is the oldest time that Salesforce
    retains.
    """
    moments = (position.last_event_at, position.caught_up_at, position.named_at)
    known = [moment for moment in moments if moment is not None]
    if position.tip_since and (position.replay_id in ("", *PRESETS) or not known):
        known.append(position.tip_since)
    latest = max(known, default=None)
    if latest is not None:
        return latest - schedule.MARGIN
    begins_at_id = listener.first_replay not in PRESETS
    return listener.created_at - RETENTION if begins_at_id else listener.created_at


def _trouble(
    listener: Listener, position: Position, lost: ReplayLost, start: datetime, now: datetime
) -> Trouble:
    policy = Listener.ReplayLost(listener.on_replay_lost)
    stops = policy is Listener.ReplayLost.STOP
    managed = (
        f"The listener continues where the managed subscription {listener.subscription} begins."
    )
    next_step = managed if listener.subscription and not stops else _NEXT_STEP[policy]
    place = position.replay_id or position.newest_id or listener.replay_from
    return Trouble(
        Incident.Kind.REPLAY_LOST,
        "",
        f"The position {place} cannot be resumed: changes since it may be missing. {next_step}",
        (_REMEDY_STOPPED if stops else _REMEDY) + quoted(lost.error),
        start,
        now,
        action=_COMPARES + (_AT_ONCE if stops else _AFTER),
    )
