"""Requests a sweep of each mirror after lost time: changes that the stream did not deliver."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db import transaction
from django.db.models.functions import Now

from audit.models import Incident
from listeners.listener_state import RETENTION
from listeners.models import Position
from mirror.models import Mirror, MirrorRun
from mirror.sweeps import INCIDENTS, request_sweep

Kind = Incident.Kind


def request_due(now: datetime) -> int:
    """Request the sweeps that are due; return how many. Never inside a transaction.

    A sweep is due once the listener receives again. If the incident's window grows after that,
    another one is.
    """
    requested = 0
    receiving = Position.objects.filter(state=Position.State.RECEIVING, lease_until__gt=Now())
    loaded = Mirror.objects.filter(
        load_started_at__isnull=False, listener__in=receiving.values("pk")
    )
    for mirror in loaded.select_related("listener"):
        for incident, key in _losses(mirror):
            if key not in _handled(mirror):
                _request(mirror, incident, key, now)
                requested += 1
    return requested


def _losses(mirror: Mirror) -> Iterator[tuple[Incident, str]]:
    """Yield the incidents of lost time since the mirror's first load began, each with a key."""
    kinds = (Kind.REPLAY_LOST, Kind.OUTAGE)
    found = Incident.objects.filter(
        listener=mirror.listener_id, kind__in=kinds, last_seen_at__gte=mirror.load_started_at
    )
    for incident in found:
        start, end = incident.window_start, incident.window_end
        # After a shorter outage the stream continues from the stored position.
        is_short = incident.kind == Kind.OUTAGE and start and end and end - start <= RETENTION
        if not is_short:
            yield incident, f"{incident.pk} {end.isoformat() if end else ''}".strip()


def _handled(mirror: Mirror) -> set[str]:
    sweeps = mirror.runs.filter(kind=MirrorRun.Kind.SWEEP)
    options = sweeps.values_list("options", flat=True)
    return {key for found in options for key in found.get(INCIDENTS, [])}


def _request(mirror: Mirror, incident: Incident, key: str, now: datetime) -> None:
    since = incident.window_start or mirror.in_sync_since or mirror.load_started_at
    with transaction.atomic(durable=True):
        synced = Mirror.objects.filter(pk=mirror.pk, phase=Mirror.Phase.IN_SYNC)
        synced.update(phase=Mirror.Phase.CATCHING_UP)
        request_sweep(
            mirror,
            since or now,
            now,
            incident.get_kind_display(),
            incident=key,
            with_ids=True,
        )
