"""The state of a listener, as the console, the API and cdc_status show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from listeners.leases import LEASE
from listeners.models import Listener, Position
from listeners.salesforce.events import PRESETS

State = Position.State

#: A state that is derived, not stored: the lease is live, but Salesforce has been silent for too
#: long, or received changes cannot be recorded.
STALLED = "stalled"
STATES = [*State.values, STALLED]

#: How long after its commit Salesforce keeps an event, and accepts its replay id.
RETENTION = timedelta(hours=72)

#: The longest time between two messages of the Pub/Sub API.
KEEP_ALIVE_SECONDS = 270.0
#: Seconds for which a long poll is held by default and at most, and the tolerance for late answers.
_HELD, _LONGEST_HELD, _LATE = 110.0, 600.0, 40.0


@dataclass(frozen=True)
class Standing:
    state: str
    reason: str | None = None


def position_of(listener: Listener) -> Position | None:
    """Return the listener's position; None if the listener was never started."""
    position: Position | None = getattr(listener, "position", None)
    return position if position is not None and position.epoch else None


def is_held(position: Position, now: datetime) -> bool:
    """Return whether a process runs the listener.

    A small difference between clocks does not matter: a lease is renewed long before it ends.
    """
    return bool(position.holder and position.lease_until and position.lease_until > now)


def longest_silence(listener: Listener) -> float:
    """Return the seconds of silence after which the listener counts as stalled."""
    if listener.transport == Listener.Transport.PUBSUB:
        held = KEEP_ALIVE_SECONDS
    else:
        held = min(_LONGEST_HELD, max(_HELD, listener.keep_alive_interval))
    return held + _LATE + listener.read_timeout


def standing(listener: Listener, position: Position, now: datetime, *, is_live: bool) -> Standing:
    """Return the listener's state: the stored one, or STOPPED or STALLED if it is out of date.

    `is_live`: a process holds the listener's lease.
    """
    state = State(position.state)
    if not is_live and state in (State.CONNECTING, State.RECEIVING):
        return Standing(State.STOPPED.value, _unexplained(position))
    if is_live and position.unrecorded_since is not None:
        span = (now - position.unrecorded_since).total_seconds()
        return Standing(STALLED, f"No change could be recorded for {span:.0f} s")
    if is_live and state == State.RECEIVING:
        answered = max(filter(None, (position.last_received_at, position.state_since)), default=now)
        silence = (now - answered).total_seconds()
        if silence > longest_silence(listener):
            return Standing(STALLED, f"Salesforce has sent no message for {silence:.0f} s")
    return Standing(state.value, position.reason or None)


def standing_now(listener: Listener, now: datetime) -> Standing:
    """Return the listener's state by this machine's clock; STOPPED if it was never started."""
    position = position_of(listener)
    if position is None:
        return Standing(State.STOPPED.value)
    return standing(listener, position, now, is_live=is_held(position, now))


def runway(position: Position, now: datetime) -> timedelta | None:
    """Return the time left until Salesforce refuses the stored position; None without a position.

    The retention window starts at the commit of the position's event, at a later time until which
    Salesforce reported no newer event, or at the subscription with `tip`. The position
    may be before the last recorded event (`replay_id_at`). While the stream is
    open, a position may grow older than the window without loss, but Salesforce refuses it at the
    next subscription.
    """
    named = position.replay_id not in ("", *PRESETS)
    tip_since = None if position.replay_id == "-2" else position.tip_since
    since = position.replay_id_at if named else tip_since
    if named and since is None and not position.newest_id:
        since = _latest(position.last_event_at, position.named_at)
    return None if since is None else max(timedelta(0), since + RETENTION - now)


def runway_hours(position: Position, now: datetime) -> float | None:
    left = runway(position, now)
    return None if left is None else round(left / timedelta(hours=1), 2)


def has_outlived(position: Position, now: datetime) -> bool:
    """Return whether changes were lost although Salesforce will not refuse the position.

    A position without an event, or one that a managed subscription keeps, is never refused. When
    the log was last complete longer ago than the retention window, later changes are gone.
    """
    if position.subscription and position.replay_id not in ("", *PRESETS):
        recorded = (position.last_event_at, position.named_at, position.caught_up_at)
        latest = _latest(*recorded)
        return latest is not None and now - latest > RETENTION
    begun = position.tip_since or (position.caught_up_at if not position.replay_id else None)
    if begun is None or position.replay_id not in ("", *PRESETS):
        return False
    known = max(begun, position.caught_up_at or begun)
    return now - known > RETENTION


def _latest(*moments: datetime | None) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)


def _unexplained(position: Position) -> str:
    crashed = "The listener process crashed or was killed"
    if position.lease_until is None:
        return crashed
    return f"{crashed} (last heartbeat {position.lease_until - LEASE:%Y-%m-%d %H:%M:%S} UTC)"
