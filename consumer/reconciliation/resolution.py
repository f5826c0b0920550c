"""Writes the progress and result of a comparison to its incident."""

from __future__ import annotations

from datetime import datetime

from audit.models import Incident, Reconciliation, Trouble

Reason = Reconciliation.Reason
State = Reconciliation.State


def write_progress(job: Reconciliation) -> None:
    """Inside any transaction."""
    _set_action(
        job,
        f"Salesforce is being compared with the audit log: {job.compared:,} changed records so "
        f"far, {job.added:,} were missing and are now recorded; {job.looked_up:,} looked up by id, "
        f"{job.deletions_added:,} deletions were missing and are now recorded.",
    )


def write_waiting(job: Reconciliation) -> None:
    """Inside any transaction."""
    _set_action(
        job,
        f"Salesforce was compared with the audit log: of {job.compared:,} changed records "
        f"{job.added:,} were missing and are now recorded, and {job.deletions_added:,} deletions. "
        "The listener is stopped: later changes will be compared when it runs again.",
    )


def write_failure(job: Reconciliation) -> None:
    """Inside any transaction."""
    _set_action(
        job,
        "The comparison of Salesforce with the audit log failed, and will be retried at "
        f"{job.due_at:%Y-%m-%d %H:%M:%S} UTC: {job.error}",
    )


def done(job: Reconciliation, now: datetime) -> None:
    """Close the job's incident, with the report as the evidence. Inside the caller's
    transaction."""
    ended = Incident.objects.filter(pk__in=_ended(job))
    ended.opened().update(action="")
    ended.settle(now, note=job.report)
    kind = Incident.Kind.RECONCILIATION
    Incident.objects.close(job.listener_id, kind, now, key=_key(job), note=job.report)


def given_up(job: Reconciliation, now: datetime) -> None:
    """Open an incident for a comparison that was given up. Inside the caller's transaction."""
    _set_action(job, f"The comparison of Salesforce with the audit log was given up: {job.error}")
    trouble = Trouble(
        Incident.Kind.RECONCILIATION,
        _key(job),
        f"Salesforce could not be compared with the audit log ({job}): {job.error}",
        "Correct the cause, for example by giving the login's user access to the entity. Then run "
        f"manage.py reconcile_cdc --listener {job.listener.name}, which resumes this comparison.",
        job.window_start,
        job.window_end,
        action="",
        lasts=True,
    )
    Incident.objects.report(job.listener_id, trouble, now)


def _ended(job: Reconciliation) -> list[int]:
    """Return the job's incident, unless another comparison for it is not done."""
    if job.incident_id is None:
        return []
    others = Reconciliation.objects.filter(incident_id=job.incident_id).exclude(pk=job.pk)
    return [] if others.exclude(state=State.DONE).exists() else [job.incident_id]


def _set_action(job: Reconciliation, action: str) -> None:
    if job.incident_id is not None:
        Incident.objects.filter(pk=job.incident_id, closed_at=None).update(action=action)


def _key(job: Reconciliation) -> str:
    return f"{job.reason} {job.entity_name}".strip()
