"""Whether the stream has brought what it still brings, so that a comparison finds the rest."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models.functions import Now

from audit.models import AuditLogEntry, Reconciliation
from listeners.models import Listener, Position

Reason = Reconciliation.Reason

#: After these the stream goes on from another place, and first repeats what Salesforce has of them.
LOSSES = (Reason.REPLAY_LOST, Reason.OUTAGE)


def is_ready(job: Reconciliation, now: datetime) -> bool:
    """Whether the listener has caught up since the loss, or stands still and will not."""
    if job.reason not in LOSSES:
        return True
    position = Position.objects.filter(listener=job.listener).first()
    if position is None or _stands_still(job.listener, position):
        return True
    heard = _heard_at(position)
    if not is_receiving(job.listener_id) or heard is None or heard < job.window_end:
        return False
    # Changes come in the order of their commits; and who caught up has been sent them all.
    known = (position.last_event_at, position.caught_up_at)
    if any(moment is not None and moment >= job.window_end for moment in known):
        return True
    latest = max(heard, _last_change_at(job) or heard)
    return latest <= now - timedelta(seconds=settings.CDC_CAUGHT_UP_SECONDS)


def _heard_at(position: Position) -> datetime | None:
    """The last answer, or else the subscription: the answer after it may be held for minutes."""
    signs = (position.state_since, position.last_received_at)
    return max((sign for sign in signs if sign is not None), default=None)


def is_receiving(listener_id: int) -> bool:
    """By its row, and with a live lease."""
    return Position.objects.filter(
        listener_id=listener_id, state=Position.State.RECEIVING, lease_until__gt=Now()
    ).exists()


def has_failed(job: Reconciliation) -> bool:
    """Whether its listener lost its place and stands still, until an operator sets it going."""
    return (
        job.reason in LOSSES
        and Position.objects.filter(
            listener_id=job.listener_id, state=Position.State.FAILED
        ).exists()
    )


def _stands_still(listener: Listener, position: Position) -> bool:
    """Only an operator sets it going again: what it missed is recorded before that."""
    return not listener.enabled or position.state == Position.State.FAILED


def _last_change_at(job: Reconciliation) -> datetime | None:
    newest = AuditLogEntry.objects.filter(
        listener=job.listener, source=AuditLogEntry.Source.STREAM
    ).order_by("-id")
    return newest.values_list("received_at", flat=True).first()
