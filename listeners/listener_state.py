"""Where a listener stands, as the status command and the API say it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from listeners.leases import LEASE
from listeners.models import Listener, Position
from listeners.salesforce.events import PRESETS

State = Position.State

#: A state of its own: the lease is alive, and Salesforce has not been heard for too long, or what
#: it sent cannot be recorded.
STALLED = "stalled"
STATES = [*State.values, STALLED]

#: How long Salesforce keeps an event, and with it a position, from its commit on.
RETENTION = timedelta(hours=72)

#: The Pub/Sub API may be silent for so long.
KEEP_ALIVE_SECONDS = 270.0
#: Seconds that a long poll may be held, and that what is due may be late.
_HELD, _LONGEST_HELD, _LATE = 110.0, 600.0, 40.0


@dataclass(frozen=True)
class Standing:
    state: str
    reason: str | None = None


def position_of(listener: Listener) -> Position | None:
    """None while it was never started."""
    position: Position | None = getattr(listener, "position", None)
    return position if position is not None and position.epoch else None


def is_held(position: Position, now: datetime) -> bool:
    """Whether a process runs it. A clock a second off matters not: a lease is renewed long before
    it ends."""
    return bool(position.holder and position.lease_until and position.lease_until > now)


def longest_silence(listener: Listener) -> float:
    """Seconds without a word from Salesforce after which a listener is not receiving."""
    if listener.transport == Listener.Transport.PUBSUB:
        held = KEEP_ALIVE_SECONDS
    else:
        held = min(_LONGEST_HELD, max(_HELD, listener.keep_alive_interval))
    return held + _LATE + listener.read_timeout


def standing(listener: Listener, position: Position, now: datetime, *, is_live: bool) -> Standing:
    """What its row says, unless nobody is there any more who could say otherwise.

    `is_live`: its lease is alive.
    """
    state = State(position.state)
    if not is_live and state in (State.CONNECTING, State.RECEIVING):
        return Standing(State.STOPPED.value, _unexplained(position))
    if is_live and position.unrecorded_since is not None:
        span = (now - position.unrecorded_since).total_seconds()
        return Standing(STALLED, f"nothing could be recorded for {span:.0f} s")
    if is_live and state == State.RECEIVING:
        heard = max(filter(None, (position.last_received_at, position.state_since)), default=now)
        silence = (now - heard).total_seconds()
        if silence > longest_silence(listener):
            return Standing(STALLED, f"nothing was heard from Salesforce for {silence:.0f} s")
    return Standing(state.value, position.reason or None)


def standing_now(listener: Listener, now: datetime) -> Standing:
    """The same by this machine's clock; of one that was never started, that it is stopped."""
    position = position_of(listener)
    if position is None:
        return Standing(State.STOPPED.value)
    return standing(listener, position, now, is_live=is_held(position, now))


def runway(position: Position, now: datetime) -> timedelta | None:
    """Until Salesforce forgets the stored position, from the commit of the event that it names, or
    the moment, or from the tip where it began; nothing when it has. None without a position.

    The position may be idle for days while the stream is open: that loses nothing, and the same
    position is refused all the same when it has to be taken up again.
    """
    named = position.replay_id not in ("", *PRESETS)
    since = _latest(position.last_event_at, position.named_at) if named else position.tip_since
    return None if since is None else max(timedelta(0), since + RETENTION - now)


def runway_hours(position: Position, now: datetime) -> float | None:
    left = runway(position, now)
    return None if left is None else round(left / timedelta(hours=1), 2)


def has_outlived(position: Position, now: datetime) -> bool:
    """Whether everything was complete longer ago than Salesforce keeps what came since, and no
    position can be refused: a part of that is gone. Of one that names no event, or that a managed
    subscription keeps."""
    if position.subscription and position.replay_id not in ("", *PRESETS):
        recorded = (position.last_event_at, position.named_at, position.caught_up_at)
        latest = _latest(*recorded)
        return latest is not None and now - latest > RETENTION
    begun = position.tip_since or (position.caught_up_at if not position.replay_id else None)
    if begun is None or position.replay_id not in ("", "-1"):
        return False
    known = max(begun, position.caught_up_at or begun)
    return now - known > RETENTION


def _latest(*moments: datetime | None) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)


def _unexplained(position: Position) -> str:
    if position.lease_until is None:
        return "its process ended without a word"
    # The lease is pushed back from the last sign of life on.
    last_sign = position.lease_until - LEASE
    return f"its process ended without a word at {last_sign:%Y-%m-%d %H:%M:%S} UTC"
