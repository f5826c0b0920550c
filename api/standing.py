"""What the API says of where a listener stands."""

from __future__ import annotations

from datetime import datetime

from listeners import standing as stored
from listeners.models import Listener, Position


def standing(listener: Listener, now: datetime) -> stored.Standing:
    position = stored.position_of(listener)
    if position is None:
        return stored.Standing(Position.State.STOPPED.value)
    return stored.standing(listener, position, now, is_live=stored.is_held(position, now))
