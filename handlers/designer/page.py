"""The drawing on a listener's page, and the fragment of it that refreshes itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from audit import admin_links as links
from handlers.admin_navigation import Reader
from handlers.admin_state import ListenerState
from handlers.designer import facts
from handlers.designer.drawing import Drawing, draw
from listeners.models import Listener
from listeners.standing import is_held, position_of


def context(request: HttpRequest, listener: Listener) -> dict[str, Any]:
    found = facts.read(listener, Reader.of(request), timezone.now())
    drawing = draw(found)
    return {
        "drawing": drawing,
        "steps": list(next_steps(drawing)),
        "state": ListenerState.of(found),
    }


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
