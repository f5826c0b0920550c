"""Requests a sweep of each mirror after changes were lost that the stream will not deliver:

- Salesforce refused the position, or the listener was away for too long (an incident);
- an operator had the listener forget its position;
- an event could not be decoded, and is in quarantine.

Until the sweep is requested, the loss itself limits what is proven (`mirror.proof`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Max, Min
from django.db.models.functions import Now

from audit.models import AuditLogEntry, Incident, OperatorAction, Quarantined
from listeners.listener_state import RETENTION
from listeners.models import Listener, Position
from mirror.models import Mirror, MirrorRun
from mirror.sweeps import LOSSES, request_sweep

Kind = Incident.Kind
#: Time between two sweeps after events that cannot be decoded: each costs requests.
_PAUSE = timedelta(minutes=10)
#: The keys of losses of events: this, and the id of the last event.
_QUARANTINE = "quarantine "
_FORGOTTEN = {
    "action": OperatorAction.Action.FORGET_POSITION,
    "object_type": Listener._meta.model_name,
}


@dataclass(frozen=True, slots=True)
class Loss:
    """Changes committed at `since` or later that were lost. `key` tells losses apart."""

    key: str
    since: datetime
    reason: str
    #: Whether only single events are lost, which may go on for hours.
    is_of_events: bool = False


def request_due(now: datetime) -> int:
    """Request the sweeps that are due; return how many. Never inside a transaction.

    A sweep is due once the listener receives again. If an incident's window grows after that,
    another one is.
    """
    requested = 0
    receiving = Position.objects.filter(state=Position.State.RECEIVING, lease_until__gt=Now())
    for mirror in Mirror.objects.filter(listener__in=receiving.values("pk")):
        for loss in unrequested(mirror):
            if loss.is_of_events and _was_swept(mirror, now - _PAUSE):
                continue
            _request(mirror, loss, now)
            requested += 1
    return requested


def _was_swept(mirror: Mirror, since: datetime) -> bool:
    return bool(mirror.runs.filter(kind=MirrorRun.Kind.SWEEP, created_at__gt=since).exists())


def unrequested(mirror: Mirror) -> list[Loss]:
    """Return the recorded losses that no sweep was requested for."""
    sweeps = mirror.runs.filter(kind=MirrorRun.Kind.SWEEP)
    options = sweeps.values_list("options", flat=True)
    known = {key for found in options for key in found.get(LOSSES, [])}
    return [loss for loss in recorded(mirror, known) if loss.key not in known]


def recorded(mirror: Mirror, known: Collection[str] = ()) -> Iterator[Loss]:
    """Yield the losses since the mirror's first load began, as far as they are still on record.

    Events that cannot be decoded are one loss, without those that losses with `known` keys have.
    """
    if (began_at := mirror.load_started_at) is None:
        return
    yield from _of_incidents(mirror, began_at)
    forgotten = OperatorAction.objects.filter(
        **_FORGOTTEN, object_id=str(mirror.listener_id), at__gte=began_at
    )
    for pk, at in forgotten.values_list("pk", "at"):
        yield Loss(f"action {pk}", _last_commit(mirror, at, began_at), "A forgotten position")
    requested = [int(key.removeprefix(_QUARANTINE)) for key in known if key.startswith(_QUARANTINE)]
    undecoded = Quarantined.objects.filter(
        listener=mirror.listener_id,
        is_answer=False,
        received_at__gte=began_at,
        pk__gt=max(requested, default=0),
    ).aggregate(first=Min("received_at"), last=Max("pk"))
    if undecoded["last"] is not None:
        since = _last_commit(mirror, undecoded["first"], began_at)
        key, reason = f"{_QUARANTINE}{undecoded['last']}", "An event that cannot be decoded"
        yield Loss(key, since, reason, is_of_events=True)


def _of_incidents(mirror: Mirror, began_at: datetime) -> Iterator[Loss]:
    found = Incident.objects.filter(
        listener=mirror.listener_id,
        kind__in=(Kind.REPLAY_LOST, Kind.OUTAGE),
        last_seen_at__gte=began_at,
    )
    for incident in found:
        start, end = incident.window_start, incident.window_end
        # After a shorter outage the stream continues from the stored position.
        if incident.kind == Kind.OUTAGE and start and end and end - start <= RETENTION:
            continue
        key = f"{incident.pk} {end.isoformat() if end else ''}".strip()
        since = start or mirror.in_sync_since or began_at
        yield Loss(key, since, incident.get_kind_display())


def _last_commit(mirror: Mirror, at: datetime, earliest: datetime) -> datetime:
    """Return when the last change was committed that the listener had received at a time: changes
    come in the order of their commits."""
    entries = AuditLogEntry.objects.filter(listener=mirror.listener_id, received_at__lt=at)
    newest = entries.order_by("-received_at", "-id").values_list("commit_timestamp", flat=True)
    commit = newest.first()
    return earliest if commit is None else datetime.fromtimestamp(commit / 1000, UTC)


def _request(mirror: Mirror, loss: Loss, now: datetime) -> None:
    with transaction.atomic(durable=True):
        if not loss.is_of_events:
            synced = Mirror.objects.filter(pk=mirror.pk, phase=Mirror.Phase.IN_SYNC)
            synced.update(phase=Mirror.Phase.CATCHING_UP)
        with_ids = not loss.is_of_events
        request_sweep(mirror, loss.since, now, loss.reason, loss=loss.key, with_ids=with_ids)
