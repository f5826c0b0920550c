"""What it takes of the org's daily limit to begin at the earliest event, said before it is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from audit.traffic import replay_cost
from listeners.models import Listener, Position
from listeners.salesforce.events import PRESETS

_EARLIEST = PRESETS[1]


def costs(listeners: Sequence[Listener], now: datetime) -> Iterator[str]:
    """A line for each that has no position, and begins there."""
    named = Position.objects.exclude(replay_id__in=["", *PRESETS]).values_list("pk", flat=True)
    stored = set(named)
    for listener in listeners:
        if listener.enabled and listener.first_replay == _EARLIEST and listener.pk not in stored:
            yield f"listener {listener.name} begins at earliest. {replay_cost(listener, now)}"
