"""The next steps until a listener's changes reach a handler. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from console import links
from console.designer.drawing import Drawing
from listeners.listener_state import is_held, position_of


@dataclass(frozen=True)
class Step:
    text: str
    href: str = ""
    link: str = ""
    command: str = ""


def next_steps(drawing: Drawing) -> Iterator[Step]:
    facts = drawing.facts
    if facts.reader.sees_mappings and not any(one.handler or one.task for one in facts.mappings):
        yield Step(
            "Choose who gets its changes: open an event handler below. Until then they are "
            "recorded only."
        )
    yield from _until_it_is_heard(drawing)
    for queue in drawing.queues:
        if queue.is_unheard:
            yield Step(
                f"No worker hears the queue {queue.name}: start one.",
                command=f"celery -A cdcproject worker -Q {queue.name}",
            )


def _until_it_is_heard(drawing: Drawing) -> Iterator[Step]:
    listener, now = drawing.facts.listener, drawing.facts.now
    position = position_of(listener)
    if not listener.enabled:
        may_start = drawing.facts.reader.operates
        yield Step(
            "It is switched off.",
            href=links.start(listener.pk) if may_start else "",
            link="Start it" if may_start else "",
        )
    elif position is None or (not is_held(position, now) and position.state != "failed"):
        yield Step("No process hears it: start one.", command="manage.py run_cdc_listener")
