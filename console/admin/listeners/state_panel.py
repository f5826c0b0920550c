"""The state of a listener as the console shows it: position, backlog and open incidents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils.safestring import SafeString

from audit.log.throughput import Usage, usages
from audit.models import Incident
from console.designer.facts import Facts
from console.labels import state_label
from handlers.checks import unregistered_message
from handlers.models import HandlerMapping
from handlers.reporting.backlog import STATES
from handlers.sdk import registry
from listeners.listener_state import STALLED, is_held, position_of, runway_hours
from listeners.listener_state import standing as standing_of
from listeners.models import Listener, Position

State = Position.State
#: The most open incidents shown; a link leads to the others.
NAMED = 10

_VARIANTS = {
    State.CONNECTING: "info",
    State.RECEIVING: "success",
    State.STOPPED: "",
    State.FAILED: "danger",
}


@dataclass(frozen=True)
class Standing:
    """The state in a word, its colour, and the reason."""

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
    #: None if the user may not see them.
    backlog: list[Backlog] | None
    incidents: list[Incident] | None
    has_more_incidents: bool
    warnings: list[str]
    runway: float | None
    usage: Usage

    @property
    def runway_text(self) -> str:
        if self.runway is None:
            return ""
        return f"{self.runway:.1f} h until the position expires in Salesforce"

    @classmethod
    def of(cls, facts: Facts) -> ListenerState:
        listener, now, reader = facts.listener, facts.now, facts.reader
        position = position_of(listener)
        incidents = _open_incidents(listener) if reader.sees_incidents else None
        return cls(
            listener=listener,
            position=position,
            standing=standing(listener, position, now),
            backlog=list(_backlog(facts)) if reader.sees_deliveries else None,
            incidents=incidents[:NAMED] if incidents is not None else None,
            has_more_incidents=len(incidents or ()) > NAMED,
            warnings=unregistered_warnings(facts.mappings),
            runway=runway_hours(position, now) if position else None,
            usage=usages(now).get(listener.pk, Usage()),
        )


def standing(listener: Listener, position: Position | None, now: datetime) -> Standing:
    if position is None:
        return Standing("Never started", "")
    state = State(position.state)
    if state in (State.CONNECTING, State.RECEIVING) and not is_held(position, now):
        return Standing(
            "Not running",
            "warning",
            f"The listener process stopped while {state.label.lower()}, and no other took over.",
        )
    stands = standing_of(listener, position, now, is_live=is_held(position, now))
    if stands.state == STALLED:
        return Standing("Stalled", "danger", stands.reason or "")
    return Standing(state.label, _VARIANTS[state], position.reason)


def _open_incidents(listener: Listener) -> list[Incident]:
    """Return the newest open incidents, and one more that tells whether others follow."""
    return list(Incident.objects.filter(listener=listener, closed_at=None)[: NAMED + 1])


def _backlog(facts: Facts) -> Iterator[Backlog]:
    for state in STATES:
        if count := facts.waiting.total(state):
            yield Backlog(state.value, state_label(state), facts.waiting.shown(count, state))


def unregistered_warnings(mappings: Iterable[HandlerMapping]) -> list[str]:
    names = {mapping.handler for mapping in mappings if mapping.handler}
    return [unregistered_message(name) for name in sorted(names) if registry.find(name) is None]
