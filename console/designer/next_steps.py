"""The steps still needed until a listener's changes reach a handler. Pure."""

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
    if facts.reader.sees_mappings and not any(
        mapping.handler or mapping.task for mapping in facts.mappings
    ):
        yield Step(
            "Choose a handler for the changes: open a handler mapping below. Until then changes "
            "are recorded only."
        )
    yield from _until_received(drawing)
    for queue in drawing.queues:
        if queue.has_no_worker:
            yield Step(
                f"No worker consumes the queue {queue.name}: start one.",
                command=f"celery -A cdcproject worker -Q {queue.name}",
            )


def _until_received(drawing: Drawing) -> Iterator[Step]:
    listener, now = drawing.facts.listener, drawing.facts.now
    position = position_of(listener)
    if not listener.enabled:
        may_start = drawing.facts.reader.operates
        yield Step(
            "The listener is disabled.",
            href=links.start(listener.pk) if may_start else "",
            link="Start it" if may_start else "",
        )
    elif position is None or (not is_held(position, now) and position.state != "failed"):
        yield Step(
            "No process runs this listener: start one.", command="manage.py run_cdc_listener"
        )
