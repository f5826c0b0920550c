"""A listener's state as the console shows it: where it stands, what waits, what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.safestring import SafeString

from audit.models import Incident
from audit.traffic import Usage, usages
from handlers import registry
from handlers.admin_labels import state_label
from handlers.backlog import STATES, backlog
from handlers.checks import unregistered_message
from handlers.models import HandlerMapping
from listeners.models import Listener, Position
from listeners.standing import STALLED, is_held, position_of, runway_hours
from listeners.standing import standing as standing_of

State = Position.State

_VARIANTS = {
    State.CONNECTING: "info",
    State.RECEIVING: "success",
    State.STOPPED: "",
    State.FAILED: "danger",
}


@dataclass(frozen=True)
class Standing:
    """The state in a word, its colour, and why."""

    text: str
    variant: str
    reason: str = ""


@dataclass(frozen=True)
class Backlog:
    state: str
    label: SafeString
    count: str


@dataclass(frozen=True)
class ListenerState:
    listener: Listener
    position: Position | None
    standing: Standing
    backlog: list[Backlog]
    incidents: list[Incident]
    warnings: list[str]
    runway: float | None
    usage: Usage

    @property
    def runway_text(self) -> str:
        if self.runway is None:
            return ""
        return f"{self.runway:.1f} h until Salesforce forgets the position"

    @classmethod
    def of(cls, listener: Listener, now: datetime | None = None) -> ListenerState:
        position = position_of(listener)
        now = now or timezone.now()
        return cls(
            listener=listener,
            position=position,
            standing=standing(listener, position, now),
            backlog=list(_backlog(listener)),
            incidents=list(Incident.objects.filter(listener=listener, closed_at=None)),
            warnings=unregistered_warnings(listener.pk),
            runway=runway_hours(position, now) if position else None,
            usage=usages(now).get(listener.pk, Usage()),
        )


def standing(listener: Listener, position: Position | None, now: datetime) -> Standing:
    if position is None:
        reason = "" if listener.enabled else "It is not enabled."
        return Standing("Never started", "", reason)
    state = State(position.state)
    if state in (State.CONNECTING, State.RECEIVING) and not is_held(position, now):
        return Standing(
            "Not running",
            "warning",
            f"Its process ended while it was {state.label.lower()}, and none has taken over.",
        )
    stands = standing_of(listener, position, now, is_live=is_held(position, now))
    if stands.state == STALLED:
        return Standing("Stalled", "danger", stands.reason or "")
    return Standing(state.label, _VARIANTS[state], position.reason)


def _backlog(listener: Listener) -> Iterator[Backlog]:
    waiting = backlog()
    counts = waiting.of(listener.pk)
    for state in STATES:
        if count := counts[state.value]:
            yield Backlog(state.value, state_label(state), waiting.shown(count, state.value))


def unregistered_warnings(listener_id: Any) -> list[str]:
    chosen = (
        HandlerMapping.objects.filter(listener_id=listener_id)
        .exclude(handler="")
        .order_by("handler")
        .values_list("handler", flat=True)
        .distinct()
    )
    return [unregistered_message(name) for name in chosen if registry.find(name) is None]
