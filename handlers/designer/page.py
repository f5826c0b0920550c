"""The drawing on a listener's page, and the fragment of it that refreshes itself."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from handlers.admin_navigation import Reader
from handlers.admin_state import ListenerState
from handlers.designer import facts
from handlers.designer.drawing import draw
from handlers.designer.steps import next_steps
from listeners.models import Listener


def context(request: HttpRequest, listener: Listener) -> dict[str, Any]:
    found = facts.read(listener, Reader.of(request), timezone.now())
    drawing = draw(found)
    return {
        "drawing": drawing,
        "steps": list(next_steps(drawing)),
        "state": ListenerState.of(found),
    }
