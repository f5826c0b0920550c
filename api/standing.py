"""Where a listener stands, as `cdc_status` says it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from listeners.leases import LEASE
from listeners.models import Listener, Position

State = Position.State

#: Held, receiving, and not heard of for this long; see consumer.hosted.
SILENCE_SECONDS = 150.0
STALLED = "stalled"
STATES = [*State.values, STALLED]


@dataclass(frozen=True)
class Standing:
    state: str
    reason: str | None = None


def standing(listener: Listener, now: datetime) -> Standing:
    """What its row says, unless nobody is there any more who could say otherwise."""
    position = position_of(listener)
    if position is None:
        return Standing(State.STOPPED.value)
    state = State(position.state)
    is_held = bool(position.holder and position.lease_until and position.lease_until > now)
    if not is_held and state in (State.CONNECTING, State.RECEIVING):
        return Standing(State.STOPPED.value, _unexplained(position))
    if is_held and state == State.RECEIVING:
        heard = max(filter(None, (position.last_received_at, position.state_since)), default=now)
        silence = (now - heard).total_seconds()
        if silence > SILENCE_SECONDS:
            return Standing(STALLED, f"nothing was heard from Salesforce for {silence:.0f} s")
    return Standing(state.value, position.reason or None)


def _unexplained(position: Position) -> str:
    if position.lease_until is None:
        return "its process ended without a word"
    # The lease is pushed back from the last sign of life on.
    return (
        f"its process ended without a word at {position.lease_until - LEASE:%Y-%m-%d %H:%M:%S} UTC"
    )


def position_of(listener: Listener) -> Position | None:
    """None while it was never started."""
    position: Position | None = getattr(listener, "position", None)
    return position if position is not None and position.epoch else None
