"""Plan comparisons of an org with the audit log, start those that are due, retry failed ones, and
decide whether the stream has caught up after a loss, so that one can begin.

A comparison is a row (`Reconciliation`). A Celery task runs it in slices of time;
`manage.py reconcile_cdc` runs one in the foreground.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models.functions import Now

from audit.jobs.claim import UNENDED, start_due_jobs
from audit.models import AuditLogEntry, Incident, Reconciliation
from handlers import broker
from listeners.models import Listener, Position

State = Reconciliation.State

#: After these, the stream continues from another position and first repeats retained events.
LOSSES = (Reconciliation.Reason.REPLAY_LOST, Reconciliation.Reason.OUTAGE)
TASK = "consumer.reconcile"
#: A window begins this long before the loss: an event is published some time after its commit, and
#: clocks differ.
MARGIN = timedelta(minutes=2)


def plan(
    listener: Listener,
    reason: Reconciliation.Reason,
    start: datetime | None,
    end: datetime,
    incident: Incident | None,
    *,
    entity: str = "",
    entry: AuditLogEntry | None = None,
    now: datetime,
) -> Reconciliation:
    """Plan the comparison of a window: create a job, or widen and restart the unfinished one.

    `entry` is the overflow or wildcard that the comparison is for. Inside the caller's transaction,
    which has locked the listener's position.
    """
    job = (
        Reconciliation.objects.filter(
            listener=listener, reason=reason, entity_name=entity, state__in=UNENDED
        )
        .select_for_update()
        .first()
    )
    if job is None:
        return Reconciliation.objects.create(
            listener=listener,
            entity_name=entity,
            reason=reason,
            entry=entry,
            incident=incident,
            window_start=start,
            window_end=max(end, start or end),
            due_at=now,
            created_at=now,
        )
    job.window_start = None if start is None else job.window_start and min(job.window_start, start)
    job.window_end = max(job.window_end, end)
    job.entry = entry or job.entry
    job.incident = incident or job.incident
    job.state, job.claimed_until, job.due_at = State.WAITING, None, now
    job.reset_progress()
    job.attempts, job.error, job.started_at = 0, "", None
    job.save()
    return job


def retry(listener: Listener, now: datetime) -> int:
    """Reschedule comparisons that were given up; return how many."""
    given_up = Reconciliation.objects.filter(listener=listener, state=State.FAILED)
    return given_up.exclude(reason=Reconciliation.Reason.ASKED).update(
        state=State.WAITING, due_at=now, attempts=0, finished_at=None
    )


def start_due(now: datetime) -> int:
    """Start the comparisons that are due and not running; return how many. Never inside a
    transaction."""
    return start_due_jobs(Reconciliation, now, _send)


def _send(pk: int) -> bool:
    return broker.start_or_leave(TASK, reconciliation_id=pk)


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
