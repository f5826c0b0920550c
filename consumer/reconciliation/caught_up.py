"""Decides whether the stream has caught up after a loss, so that a comparison can begin."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models.functions import Now

from audit.models import AuditLogEntry, Reconciliation
from listeners.models import Listener, Position

Reason = Reconciliation.Reason

#: After these, the stream continues from another position and first repeats retained events.
LOSSES = (Reason.REPLAY_LOST, Reason.OUTAGE)


def is_ready(job: Reconciliation, now: datetime) -> bool:
    """Return whether the listener has caught up since the loss, or is stopped and will not."""
    if job.reason not in LOSSES:
        return True
    position = Position.objects.filter(listener=job.listener).first()
    if position is None or _is_stopped(job.listener, position):
        return True
    answered_at = _last_answer_at(position)
    if not is_receiving(job.listener_id) or answered_at is None or answered_at < job.window_end:
        return False
    # Changes come in commit order, so any of these proves that all changes of the window came.
    known = (position.last_event_at, position.caught_up_at)
    if any(moment is not None and moment >= job.window_end for moment in known):
        return True
    latest = max(answered_at, _last_change_at(job) or answered_at)
    return latest <= now - timedelta(seconds=settings.CDC_CAUGHT_UP_SECONDS)


def _last_answer_at(position: Position) -> datetime | None:
    """Return when Salesforce last answered a poll, or accepted the subscription: a poll may be held
    for minutes."""
    answers = (position.state_since, position.last_received_at)
    return max((answer for answer in answers if answer is not None), default=None)


def is_receiving(listener_id: int) -> bool:
    """Return whether a listener receives, by its position's state and a live lease."""
    return Position.objects.filter(
        listener_id=listener_id, state=Position.State.RECEIVING, lease_until__gt=Now()
    ).exists()


def has_failed(job: Reconciliation) -> bool:
    """Return whether the job is for a loss and its listener has failed: an operator must restart
    it."""
    return (
        job.reason in LOSSES
        and Position.objects.filter(
            listener_id=job.listener_id, state=Position.State.FAILED
        ).exists()
    )


def _is_stopped(listener: Listener, position: Position) -> bool:
    """Return whether the listener is stopped until an operator restarts it. Then missed changes
    are recorded before the restart."""
    return not listener.enabled or position.state == Position.State.FAILED


def _last_change_at(job: Reconciliation) -> datetime | None:
    newest = AuditLogEntry.objects.filter(
        listener=job.listener, source=AuditLogEntry.Source.STREAM
    ).order_by("-id")
    return newest.values_list("received_at", flat=True).first()
