"""A position that Salesforce refuses: an incident with its window, then the listener's policy."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from audit.models import Incident
from audit.queries import Trouble
from listeners.leases import Lease, LeaseLost
from listeners.models import Listener, Position
from listeners.salesforce.errors import ReplayLost

_GOES_ON = {
    Listener.ReplayLost.EARLIEST: "It goes on with the earliest event that Salesforce retains.",
    Listener.ReplayLost.TIP: "It goes on with new events only.",
    Listener.ReplayLost.STOP: "It has stopped: forget the position, or choose "
    "another on_replay_lost.",
}


def record(listener: Listener, lease: Lease, lost: ReplayLost, now: datetime) -> None:
    """Open an incident and set the position that the policy wants, in one transaction.

    Raises LeaseLost. Never inside a transaction.
    """
    policy = Listener.ReplayLost(listener.on_replay_lost)
    with transaction.atomic(durable=True):
        position = Position.objects.held(lease).select_for_update().first()
        if position is None:
            raise LeaseLost
        start = position.last_event_at or position.tip_since or listener.created_at
        trouble = Trouble(
            Incident.Kind.REPLAY_LOST,
            "",
            f"Salesforce refused the position {position.replay_id or listener.replay_from}: "
            f"changes since it may be missing. {_GOES_ON[policy]}",
            "Compare Salesforce with the audit log for this window. " + lost.error,
            min(start, now),
            now,
        )
        Incident.objects.report(listener.pk, trouble, now)
        match policy:
            case Listener.ReplayLost.EARLIEST:
                Position.objects.held(lease).update(replay_id="-2")
            case Listener.ReplayLost.TIP:
                Position.objects.held(lease).update(replay_id="-1", tip_since=None)
            case Listener.ReplayLost.STOP:
                pass
