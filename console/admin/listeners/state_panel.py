"""The state of a listener as its page shows it, and the steps until changes reach a handler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.log.throughput import Usage, usages
from audit.models import Incident
from console import links
from console.designer.drawing import Drawing
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


def listener_state(facts: Facts) -> dict[str, Any]:
    """Return what `state.html` shows; what the user may not see is None."""
    listener, now, reader = facts.listener, facts.now, facts.reader
    position = position_of(listener)
    incidents = _open_incidents(listener) if reader.sees_incidents else None
    runway = runway_hours(position, now) if position else None
    return {
        "listener": listener,
        "position": position,
        "standing": standing(listener, position, now),
        "backlog": _backlog(facts) if reader.sees_deliveries else None,
        "incidents": incidents[:NAMED] if incidents is not None else None,
        "has_more_incidents": len(incidents or ()) > NAMED,
        "warnings": unregistered_warnings(facts.mappings),
        "runway_text": ""
        if runway is None
        else f"{runway:.1f} h until the position expires in Salesforce",
        "usage": usages(now).get(listener.pk, Usage()),
    }


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


def _backlog(facts: Facts) -> list[dict[str, Any]]:
    return [
        {
            "state": state.value,
            "label": state_label(state),
            "count": facts.waiting.shown(count, state),
        }
        for state in STATES
        if (count := facts.waiting.total(state))
    ]


def unregistered_warnings(mappings: Iterable[HandlerMapping]) -> list[str]:
    names = {mapping.handler for mapping in mappings if mapping.handler}
    return [unregistered_message(name) for name in sorted(names) if registry.find(name) is None]


@dataclass(frozen=True)
class Step:
    text: str
    href: str = ""
    link: str = ""
    command: str = ""


def next_steps(drawing: Drawing) -> Iterator[Step]:
    """Yield the steps still needed until changes reach a handler."""
    facts = drawing.facts
    if facts.reader.sees_mappings and not any(
        mapping.handler or mapping.task for mapping in facts.mappings
    ):
        yield Step(
            "Choose a handler for the changes: open a handler mapping below. Until then changes "
            "are recorded only."
        )
    listener, position = facts.listener, position_of(facts.listener)
    if not listener.enabled:
        yield Step(
            "The listener is disabled.",
            href=links.start(listener.pk),
            link="Start it" if facts.reader.operates else "",
        )
    elif position is None or (not is_held(position, facts.now) and position.state != "failed"):
        yield Step(
            "No process runs this listener: start one.", command="manage.py run_cdc_listener"
        )
    for queue in drawing.queues:
        if queue["has_no_worker"]:
            yield Step(
                f"No worker consumes the queue {queue['name']}: start one.",
                command=f"celery -A cdcproject worker -Q {queue['name']}",
            )
