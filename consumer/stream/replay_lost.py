"""A position that Salesforce refuses: an incident with its window, the position that the listener's
policy wants, and a comparison of what may be missing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from audit.models import Incident, Reconciliation
from audit.models.entry_queryset import Trouble
from consumer.ingest import position as ingest_position
from consumer.reconciliation import schedule
from listeners.leases import Lease
from listeners.listener_state import RETENTION
from listeners.models import Listener, Position
from listeners.salesforce.errors import ReplayLost, quoted
from listeners.salesforce.events import PRESETS

_GOES_ON = {
    Listener.ReplayLost.EARLIEST: "It goes on with the earliest event that Salesforce retains.",
    Listener.ReplayLost.TIP: "It goes on with new events only.",
    Listener.ReplayLost.STOP: "It has stopped: forget the position, or choose "
    "another on_replay_lost.",
}
_COMPARES = "Salesforce is compared with the audit log from the window's start on, over REST; what "
_AFTER = "is missing is recorded and delivered. It begins when the listener has caught up."
_AT_ONCE = "is missing is recorded and delivered now, while the listener stands still."
_REMEDY = "Nothing, unless the comparison fails: this closes when it is complete. "
_REMEDY_STOPPED = "Set the listener going again, as it says above. "


def record(listener: Listener, lease: Lease, lost: ReplayLost, now: datetime) -> None:
    """Open an incident, plan the comparison, and set the position that the policy wants, in one
    transaction.

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
                changes: dict[str, Any] = {"replay_id": "-2"}
            case Listener.ReplayLost.TIP:
                changes = {"replay_id": "-1", "tip_since": None}
            case Listener.ReplayLost.STOP:
                return
        # Where a managed subscription begins is in Salesforce: what was lost is told only once.
        changes |= {"named_at": None, "subscription": listener.subscription}
        Position.objects.held(lease).update(**changes)


def complete_until(listener: Listener, position: Position) -> datetime:
    """The last moment up to which everything committed is known to be recorded.

    Each of these is one for sure, so the latest counts: the commit of the last recorded change,
    since changes come in the order of their commits; an answer that brought nothing more, when all
    before it was recorded, and the moment that the position names; the tip that the listener began
    at, before which nothing was due. The last answer alone (`last_received_at`) is none: more may
    have been on its way, or received and not recorded when the process died.

    A listener that was to begin at a replay id wants all since then, and nobody knows when that
    was: it counts as the oldest that Salesforce keeps.
    """
    known = (
        position.last_event_at,
        position.caught_up_at,
        position.named_at,
        position.tip_since,
    )
    latest = max((moment for moment in known if moment is not None), default=None)
    if latest is not None:
        return latest - schedule.MARGIN
    begins_at_id = listener.first_replay not in PRESETS
    return listener.created_at - RETENTION if begins_at_id else listener.created_at


def _trouble(
    listener: Listener, position: Position, lost: ReplayLost, start: datetime, now: datetime
) -> Trouble:
    policy = Listener.ReplayLost(listener.on_replay_lost)
    stops = policy is Listener.ReplayLost.STOP
    managed = f"It goes on where the managed subscription {listener.subscription} begins."
    goes_on = managed if listener.subscription and not stops else _GOES_ON[policy]
    return Trouble(
        Incident.Kind.REPLAY_LOST,
        "",
        f"The position {position.replay_id or listener.replay_from} cannot be resumed: "
        f"changes since it may be missing. {goes_on}",
        (_REMEDY_STOPPED if stops else _REMEDY) + quoted(lost.error),
        start,
        now,
        action=_COMPARES + (_AT_ONCE if stops else _AFTER),
    )
