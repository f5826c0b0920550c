"""Plan comparisons of an org with the audit log, start those that are due, and retry failed ones.

A comparison is a row (`Reconciliation`). A Celery task runs it in slices of time;
`manage.py reconcile_cdc` runs one in the foreground.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from audit.jobs.claim import UNENDED, start_due_jobs
from audit.models import AuditLogEntry, Incident, Reconciliation
from handlers.outbox import broker
from listeners.models import Listener

log = structlog.get_logger(__name__)

State = Reconciliation.State

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
    job.begin_anew()
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
    return start_due_jobs(Reconciliation.objects.all(), now, _send)


def _send(pk: int) -> bool:
    return broker.start_or_leave(TASK, reconciliation_id=pk)
