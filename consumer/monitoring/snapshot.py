"""How every listener stands, and which incidents are open, at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q
from django.db.models.functions import Now

from audit.models import Incident
from listeners.listener_state import Standing, longest_silence, position_of, standing
from listeners.models import Listener, Position

State = Position.State


@dataclass(frozen=True)
class Watched:
    listener: Listener
    #: None while it was never started.
    position: Position | None
    standing: Standing
    is_live: bool
    #: A poll was answered not long ago. That a subscription was taken proves nothing: whoever
    #: refuses each poll takes it again and again.
    is_answered: bool
    #: Its open incidents.
    incidents: Mapping[tuple[str, str], Incident]

    @property
    def is_receiving(self) -> bool:
        return self.standing.state == State.RECEIVING and self.is_answered

    @property
    def has_failed(self) -> bool:
        """Only an operator can help, and has not yet: there is an incident for that."""
        return (
            self.position is not None
            and self.position.state == State.FAILED
            and self.position.failed_fingerprint == self.listener.fingerprint
        )

    def open(self, kind: Incident.Kind, key: str = "") -> Incident | None:
        return self.incidents.get((kind, key))


def scene(now: datetime) -> list[Watched]:
    """Every listener by name. Reads only."""
    live = set(Position.objects.filter(is_live()).values_list("pk", flat=True))
    incidents = _open_incidents()
    return [
        _watched(listener, listener.pk in live, incidents.get(listener.pk, {}), now)
        for listener in Listener.objects.select_related("connection", "position").order_by("name")
    ]


def close(incident: Incident | None, note: str, now: datetime) -> None:
    """Close it by evidence, unless somebody has reported it again meanwhile. Inside any
    transaction."""
    if incident is not None:
        as_seen = Incident.objects.filter(pk=incident.pk, last_seen_at=incident.last_seen_at)
        as_seen.settle(now, note=note)


def is_live() -> Q:
    """Of positions: whether their lease is alive, on the database's clock, like the lease."""
    return ~Q(holder="") & Q(lease_until__gt=Now())


def _open_incidents() -> dict[int, dict[tuple[str, str], Incident]]:
    found: dict[int, dict[tuple[str, str], Incident]] = {}
    for incident in Incident.objects.opened().exclude(listener=None):
        found.setdefault(incident.listener_id, {})[incident.kind, incident.key] = incident
    return found


def _watched(
    listener: Listener,
    is_live: bool,
    incidents: Mapping[tuple[str, str], Incident],
    now: datetime,
) -> Watched:
    position = position_of(listener)
    stands = standing(listener, position or Position(listener=listener), now, is_live=is_live)
    heard = position.last_received_at if position else None
    silence = timedelta(seconds=longest_silence(listener))
    is_answered = heard is not None and now - heard <= silence
    return Watched(listener, position, stands, is_live, is_answered, incidents)
