"""Plan, by the listener's gap_policy, what to do about changes that came without data; claim the
planned reads and start the task that does them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from audit.jobs.claim import unclaimed
from audit.models import AuditLogEntry, DirtyRecord, Incident, Reconciliation
from audit.models.incident import IncidentQuerySet
from consumer.incidents import REMEDIES, Reported, utc_of
from consumer.reconciliation import schedule
from handlers import broker
from listeners.models import Listener

Kind = Incident.Kind
Policy = Listener.GapPolicy
Reason = Reconciliation.Reason

TASK = "consumer.complete_gaps"
#: How long a claim on gap entries lasts.
CLAIM = timedelta(minutes=5)
#: The most gap entries that one claim takes.
AT_ONCE = 10_000
#: The longest time between saving a record and committing the overflow that stands for it.
OVERFLOW_MARGIN = timedelta(hours=1)

#: The most records that a line of an incident's note names.
NAMED = 20

#: The remedy of a gap incident whose records are being read. Only an incident with this remedy is
#: closed when all records were read.
READ = "Nothing while the records are being read. If reading fails, correct the cause shown here."
_UNPROVEN = (
    "Find out whether the records in the note exist. If they do, give the login's user View All, "
    "and run manage.py reconcile_cdc for the entity. Then close this incident."
)
_HANDLED = "Make sure that the handlers read the records themselves, then close this incident."
_RELEASED = {
    Policy.DELIVER: ("The changes are delivered to their handlers without data.", _HANDLED),
    Policy.RECORD: ("", REMEDIES[Kind.GAP]),
}
_COMPARED = "Nothing, unless the comparison fails."
_COMPARING = (
    "Salesforce is compared with the audit log for this entity; missing changes are recorded."
)


def plan_repairs(listener: Listener, reported: Sequence[Reported], now: datetime) -> bool:
    """Plan the reads and comparisons for the incidents of a batch; return whether records are to be
    read.

    Inside the transaction that recorded the batch. With gap_policy `record` nothing is planned.
    """
    reads = False
    for report in reported:
        match report.kind, listener.gap_policy:
            case Kind.GAP, Policy.FETCH:
                _mark(listener, report, now)
                reads = True
            case Kind.GAP, _:
                _set_texts(report.incident, *_RELEASED[Policy(listener.gap_policy)])
            case ((Kind.OVERFLOW | Kind.WILDCARD), (Policy.FETCH | Policy.DELIVER)):
                _compare(listener, report, now)
                _set_texts(report.incident, _COMPARING, _COMPARED)
    return reads


def _set_texts(incident: Incident, action: str, remedy: str) -> None:
    """Write the incident's action and remedy. Inside any transaction."""
    Incident.objects.filter(pk=incident.pk).update(action=action, remedy=remedy)


def _mark(listener: Listener, reported: Reported, now: datetime) -> None:
    DirtyRecord.objects.bulk_create(
        [
            DirtyRecord(entry=entry, listener=listener, entity_name=entry.entity_name, due_at=now)
            for entry in reported.entries
        ]
    )
    incident = reported.incident
    if incident.count == len(reported.entries):  # just opened; an older one may need an operator
        _set_texts(incident, "", READ)
    write_progress(listener.pk, incident.key)


def write_progress(listener_id: int, entity: str) -> int:
    """Write to the incident how many records are left to read and the last error; return that
    number. Inside any transaction."""
    left = DirtyRecord.objects.filter(listener_id=listener_id, entity_name=entity)
    waiting = left.count()
    failed = left.exclude(error="").order_by("due_at").first()
    text = f"Changes whose records are being read from Salesforce: {waiting:,}."
    if failed is not None:
        text += (
            f" Reading failed and will be retried at {failed.due_at:%Y-%m-%d %H:%M:%S} UTC: "
            f"{failed.error}"
        )
    incidents(listener_id, entity).update(action=text if waiting else "")
    return waiting


def note_progress(listener: Listener, entity: str, now: datetime) -> None:
    """Write how many records are left to read; close the incident when none is. Inside the
    transaction that completed gap entries."""
    if write_progress(listener.pk, entity):
        return
    incident = incidents(listener.pk, entity).first()
    if incident is None:
        return
    if listener.gap_policy != Policy.FETCH:
        _set_texts(incident, *_RELEASED[Policy(listener.gap_policy)])
    elif incident.remedy == READ:
        incidents(listener.pk, entity).settle(now, note=_evidence(incident))


def note_unproven(listener_id: int, entity: str, record_ids: Sequence[str]) -> None:
    """Name records that may exist although they could not be read in the incident, which an
    operator then has to close. Inside the transaction that completed their gap entries."""
    if not record_ids:
        return
    shown, others = ", ".join(record_ids[:NAMED]), len(record_ids) - NAMED
    more = f" and {others:,} others" if others > 0 else ""
    found = incidents(listener_id, entity)
    found.add_note(
        f"Not proven: Salesforce does not show {shown}{more}. They were deleted permanently, or "
        "the login's user may not see them."
    )
    found.update(remedy=_UNPROVEN)


def _evidence(incident: Incident) -> str:
    completed = AuditLogEntry.objects.filter(
        listener=incident.listener,
        entity_name=incident.key,
        source=AuditLogEntry.Source.GAP,
        received_at__gte=incident.opened_at,
    ).count()
    text = f"{completed:,} of {incident.count:,} changes were completed from Salesforce"
    if completed < incident.count:
        return f"{text}; the other records were deleted before they could be read."
    return f"{text}; none is missing."


def incidents(listener_id: int, entity: str) -> IncidentQuerySet:
    """Return the open gap incident of an entity, if there is one."""
    return Incident.objects.filter(
        listener_id=listener_id, kind=Kind.GAP, key=entity[:255], closed_at=None
    )


def _compare(listener: Listener, reported: Reported, now: datetime) -> None:
    for entry in reported.entries:
        committed = utc_of(entry.commit_timestamp)
        schedule.plan(
            listener,
            Reason(reported.kind),
            committed - OVERFLOW_MARGIN if reported.kind == Kind.OVERFLOW else None,
            max(now, committed),  # the org's clock may be ahead of ours
            reported.incident,
            entity=entry.entity_name,
            entry=entry,
            now=now,
        )


def start_due(now: datetime) -> None:
    """Start tasks that complete the gap entries that are due. Never inside a transaction. Raises
    BrokerUnavailable."""
    listeners = _due(now).order_by().values_list("listener_id", flat=True).distinct()
    for listener_id in list(listeners):
        start(listener_id, now)


def start(listener_id: int, now: datetime) -> None:
    """Claim the due gap entries of one listener and start the task that completes them. Never
    inside a transaction. Raises BrokerUnavailable."""
    if not claim(listener_id, now):
        return
    try:
        broker.start(TASK, listener_id=listener_id)
    except broker.BrokerUnavailable:
        release(listener_id)
        raise


def claim(listener_id: int, now: datetime) -> int:
    """Claim the due gap entries of a listener for the task that begins them, the oldest first;
    return how many.

    By compare-and-swap.
    """
    due = _due(now).filter(listener_id=listener_id).order_by("pk")
    page = list(due.values_list("pk", flat=True)[:AT_ONCE])
    return DirtyRecord.objects.filter(unclaimed(now), pk__in=page).update(
        claimed_until=now + CLAIM, is_begun=False
    )


def claimed(listener_id: int) -> QuerySet[DirtyRecord]:
    """Return the gap entries that are claimed and not begun, even if the claim has expired: the
    task may start late."""
    return DirtyRecord.objects.filter(
        listener_id=listener_id, claimed_until__isnull=False, is_begun=False
    )


def release(listener_id: int) -> None:
    """Release the claimed gap entries that were not begun, so that they are claimed again."""
    claimed(listener_id).update(claimed_until=None)


def _due(now: datetime) -> QuerySet[DirtyRecord]:
    """Return the unclaimed gap entries that are due. Once gap_policy is no longer `fetch`, all
    are."""
    is_due = Q(due_at__lte=now) | ~Q(listener__gap_policy=Policy.FETCH)
    return DirtyRecord.objects.filter(unclaimed(now), is_due)
