"""What is planned for a change that came without its data, when it is recorded, by the listener's
gap_policy; and asking a worker to do it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from audit.jobs.claim import unclaimed
from audit.models import AuditLogEntry, DirtyRecord, Incident, Reconciliation
from audit.models.incident import IncidentQuerySet
from consumer.incidents import REMEDIES, Reported, moment
from consumer.reconciliation import schedule
from handlers.outbox import publish
from listeners.models import Listener

Kind = Incident.Kind
Policy = Listener.GapPolicy
Reason = Reconciliation.Reason

TASK = "consumer.complete_gaps"
#: Who said that it completes some has so long for it.
CLAIM = timedelta(minutes=5)
#: So many are asked for with one message.
AT_ONCE = 10_000
#: What an overflow stands for may have been saved so long before it was committed.
OVERFLOW_MARGIN = timedelta(hours=1)

#: What the operator should do; of a gap incident it also tells whether reading can close it.
READ = "Nothing, while the reading goes on. Where it fails, this says why: put that right."
_HANDLED = "See to it that the handlers read the records themselves, then close this."
_RELEASED = {
    Policy.DELIVER: ("The handlers are told, without data.", _HANDLED),
    Policy.RECORD: ("", REMEDIES[Kind.GAP]),
}
_COMPARED = "Nothing, unless the comparison fails."
_COMPARING = "The entity is compared with the audit log; what is missing is recorded."


def follow(listener: Listener, reported: Sequence[Reported], now: datetime) -> bool:
    """Plan what the incidents of a batch ask for; whether records are to be read.

    Inside the transaction that recorded them. With gap_policy `record` nothing is planned.
    """
    reads = False
    for one in reported:
        match one.kind, listener.gap_policy:
            case Kind.GAP, Policy.FETCH:
                _mark(listener, one, now)
                reads = True
            case Kind.GAP, _:
                told(one.incident, *_RELEASED[Policy(listener.gap_policy)])
            case ((Kind.OVERFLOW | Kind.WILDCARD), (Policy.FETCH | Policy.DELIVER)):
                _compare(listener, one, now)
                told(one.incident, _COMPARING, _COMPARED)
    return reads


def told(incident: Incident, action: str, remedy: str) -> None:
    """Inside any transaction."""
    Incident.objects.filter(pk=incident.pk).update(action=action, remedy=remedy)


def _mark(listener: Listener, reported: Reported, now: datetime) -> None:
    DirtyRecord.objects.bulk_create(
        [
            DirtyRecord(entry=entry, listener=listener, entity_name=entry.entity_name, due_at=now)
            for entry in reported.entries
        ]
    )
    incident = reported.incident
    if incident.count == len(reported.entries):  # opened just now; others may need an operator
        told(incident, "", READ)
    tell_progress(listener.pk, incident.key)


def tell_progress(listener_id: int, entity: str) -> int:
    """Say in the incident how many are left, and what went wrong; that number. Inside any
    transaction."""
    left = DirtyRecord.objects.filter(listener_id=listener_id, entity_name=entity)
    waiting = left.count()
    failed = left.exclude(error="").order_by("due_at").first()
    text = f"Changes whose records are being read from Salesforce: {waiting:,}."
    if failed is not None:
        text += (
            f" Reading failed and is tried again at {failed.due_at:%Y-%m-%d %H:%M:%S} UTC: "
            f"{failed.error}"
        )
    incidents(listener_id, entity).update(action=text if waiting else "")
    return waiting


def note_progress(listener: Listener, entity: str, now: datetime) -> None:
    """Tell how many are left; close the incident when none is. Inside the transaction that
    completed some."""
    if tell_progress(listener.pk, entity):
        return
    incident = incidents(listener.pk, entity).first()
    if incident is None:
        return
    if listener.gap_policy != Policy.FETCH:
        told(incident, *_RELEASED[Policy(listener.gap_policy)])
    elif incident.remedy == READ:
        incidents(listener.pk, entity).settle(now, note=_evidence(incident))


def _evidence(incident: Incident) -> str:
    completed = AuditLogEntry.objects.filter(
        listener=incident.listener,
        entity_name=incident.key,
        source=AuditLogEntry.Source.GAP,
        received_at__gte=incident.opened_at,
    ).count()
    text = f"{completed:,} of {incident.count:,} changes were completed from Salesforce"
    if completed < incident.count:
        return f"{text}; the records of the others were deleted before they could be read."
    return f"{text}: none is missing."


def incidents(listener_id: int, entity: str) -> IncidentQuerySet:
    """The open gap incident of an entity, if there is one."""
    return Incident.objects.filter(
        listener_id=listener_id, kind=Kind.GAP, key=entity[:255], closed_at=None
    )


def _compare(listener: Listener, reported: Reported, now: datetime) -> None:
    for entry in reported.entries:
        committed = moment(entry.commit_timestamp)
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


def ask_due(now: datetime) -> None:
    """Have workers complete what is due. Never inside a transaction. Raises BrokerUnavailable."""
    listeners = _due(now).order_by().values_list("listener_id", flat=True).distinct()
    for listener_id in list(listeners):
        ask(listener_id, now)


def ask(listener_id: int, now: datetime) -> None:
    """The same for one listener. Nobody else asks for the same within the time of the claim."""
    if not claim(listener_id, now):
        return
    try:
        publish.start(TASK, listener_id=listener_id)
    except publish.BrokerUnavailable:
        let_go(listener_id)
        raise


def claim(listener_id: int, now: datetime) -> int:
    """Claim what is due of a listener for whoever begins it, the oldest first; how many.

    By compare-and-swap.
    """
    due = _due(now).filter(listener_id=listener_id).order_by("pk")
    page = list(due.values_list("pk", flat=True)[:AT_ONCE])
    return DirtyRecord.objects.filter(unclaimed(now), pk__in=page).update(
        claimed_until=now + CLAIM, is_begun=False
    )


def claimed(listener_id: int) -> QuerySet[DirtyRecord]:
    """What somebody was asked to read and nobody has begun, however late the asking arrives."""
    return DirtyRecord.objects.filter(
        listener_id=listener_id, claimed_until__isnull=False, is_begun=False
    )


def let_go(listener_id: int) -> None:
    """Give back what nobody has begun: it is asked for again."""
    claimed(listener_id).update(claimed_until=None)


def _due(now: datetime) -> QuerySet[DirtyRecord]:
    """With another gap_policy than before nothing has to be waited for."""
    is_due = Q(due_at__lte=now) | ~Q(listener__gap_policy=Policy.FETCH)
    return DirtyRecord.objects.filter(unclaimed(now), is_due)
