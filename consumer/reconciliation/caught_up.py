"""Decides whether the stream has caught up after a loss, so that a comparison can begin."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models.functions import Now

from audit.models import AuditLogEntry, Reconciliation
from listeners.models import Position

Reason = Reconciliation.Reason

#: After these, the stream continues from another position and first repeats retained events.
LOSSES = (Reason.REPLAY_LOST, Reason.OUTAGE)


def is_ready(job: Reconciliation, now: datetime) -> bool:
    """Return whether the listener has caught up since the loss, or is stopped and will not."""
    if job.reason not in LOSSES:
        return True
    position = Position.objects.filter(listener=job.listener).first()
    # While the listener is stopped until an operator restarts it, missed changes are recorded.
    if position is None or not job.listener.enabled or position.state == Position.State.FAILED:
        return True
    # Salesforce answered a poll, or accepted the subscription: a poll may be held for minutes.
    answers = filter(None, (position.state_since, position.last_received_at))
    answered_at = max(answers, default=None)
    if not is_receiving(job.listener_id) or answered_at is None or answered_at < job.window_end:
        return False
    # Changes come in commit order, so any of these proves that all changes of the window came.
    known = (position.last_event_at, position.caught_up_at)
    if any(moment is not None and moment >= job.window_end for moment in known):
        return True
    changes = AuditLogEntry.objects.filter(
        listener=job.listener, source=AuditLogEntry.Source.STREAM
    )
    changed_at = changes.order_by("-id").values_list("received_at", flat=True).first()
    latest: datetime = max(answered_at, changed_at or answered_at)
    return latest <= now - timedelta(seconds=settings.CDC_CAUGHT_UP_SECONDS)


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
