"""What the API says of where a listener stands."""

from __future__ import annotations

from datetime import datetime

from listeners.models import Listener, Position
from listeners.standing import STATES, Standing
from listeners.standing import standing as of_position

__all__ = ["STATES", "position_of", "standing"]


def standing(listener: Listener, now: datetime) -> Standing:
    position = position_of(listener)
    if position is None:
        return Standing(Position.State.STOPPED.value)
    is_held = bool(position.holder and position.lease_until and position.lease_until > now)
    return of_position(listener, position, now, is_held=is_held)


def position_of(listener: Listener) -> Position | None:
    """None while it was never started."""
    position: Position | None = getattr(listener, "position", None)
    return position if position is not None and position.epoch else None
