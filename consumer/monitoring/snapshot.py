"""A snapshot of every listener with its open incidents, which the checks work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from audit.models import Incident
from listeners.listener_state import Standing, longest_silence, position_of, standing
from listeners.models import Listener, Position

State = Position.State


@dataclass(frozen=True)
class Watched:
    """One listener at the time of the snapshot."""

    listener: Listener
    #: Unsaved if the listener was never started.
    position: Position
    standing: Standing
    is_live: bool
    #: Whether a poll was answered recently. An accepted subscription proves nothing: a server that
    #: rejects every poll accepts it again and again.
    is_answered: bool
    #: The listener's open incidents, by kind and key.
    incidents: Mapping[tuple[str, str], Incident]

    @property
    def is_receiving(self) -> bool:
        return self.standing.state == State.RECEIVING and self.is_answered

    @property
    def has_failed(self) -> bool:
        """Whether the listener stopped on a failure that only an operator can correct, and its
        settings have not changed since."""
        return (
            self.position.state == State.FAILED
            and self.position.failed_fingerprint == self.listener.fingerprint
        )

    def open(self, kind: Incident.Kind, key: str = "") -> Incident | None:
        return self.incidents.get((kind, key))


def snapshots(now: datetime) -> list[Watched]:
    """Return a snapshot of every listener, ordered by name. Reads only."""
    held = Position.objects.with_life().filter(is_held=True)
    live = set(held.values_list("pk", flat=True))
    incidents = _open_incidents()
    seen: list[Watched] = []
    for listener in Listener.objects.select_related("connection", "position").order_by("name"):
        position = position_of(listener) or Position(listener=listener)
        is_live, answered_at = listener.pk in live, position.last_received_at
        silence = timedelta(seconds=longest_silence(listener))
        watched = Watched(
            listener,
            position,
            standing(listener, position, now, is_live=is_live),
            is_live,
            is_answered=answered_at is not None and now - answered_at <= silence,
            incidents=incidents.get(listener.pk, {}),
        )
        seen.append(watched)
    return seen


def close(incident: Incident | None, note: str, now: datetime) -> None:
    """Close the incident, unless it was reported again since the snapshot. Inside any
    transaction."""
    if incident is not None:
        as_seen = Incident.objects.filter(pk=incident.pk, last_seen_at=incident.last_seen_at)
        as_seen.settle(now, note=note)


def _open_incidents() -> dict[int, dict[tuple[str, str], Incident]]:
    found: dict[int, dict[tuple[str, str], Incident]] = {}
    for incident in Incident.objects.opened().exclude(listener=None):
        found.setdefault(incident.listener_id, {})[incident.kind, incident.key] = incident
    return found
