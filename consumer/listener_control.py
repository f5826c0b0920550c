"""Listeners started, stopped, and made to begin anew; each with its line in the action log.

NotNow   the message says what is in the way
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import F

from audit.action_log import Action, Actor, note
from listeners.listener_state import is_held, position_of
from listeners.models import Listener, Position


class NotNow(Exception):
    """Nothing was changed. The message says what to do first."""


def start(listener: Listener, by: Actor, reason: str, now: datetime) -> bool:
    """Enable it; False: it was. Running processes take that up. Inside any transaction."""
    return _switch(listener, by, reason, now, on=True)


def stop(listener: Listener, by: Actor, reason: str, now: datetime) -> bool:
    """Disable it; False: it was. What was received is drained. Inside any transaction."""
    return _switch(listener, by, reason, now, on=False)


def _switch(listener: Listener, by: Actor, reason: str, now: datetime, *, on: bool) -> bool:
    with transaction.atomic():
        other = Listener.objects.filter(pk=listener.pk, enabled=not on)
        if not other.update(enabled=on, updated_at=now):
            return False
        note(by, Action.START if on else Action.STOP, listener, reason=reason)
    return True


def obstacle(listener: Listener, now: datetime) -> str:
    """Why its position cannot be forgotten; empty: it can."""
    position = position_of(listener)
    if position is None or not (position.replay_id or position.tip_since):
        return "There is no position to forget."
    if listener.enabled and is_held(position, now):
        return (
            f"A process runs this listener ({position.holder}). Disable the listener or stop "
            "the process, then forget the position."
        )
    return ""


def forget_position(listener: Listener, by: Actor, reason: str, now: datetime) -> str:
    """Where it begins when it starts again. Inside any transaction. Raises NotNow."""
    if why := obstacle(listener, now):
        raise NotNow(why)
    position = position_of(listener)
    with transaction.atomic():
        if position is None or not forget(position):
            raise NotNow("The listener has moved on meanwhile; nothing was changed.")
        details = {"replay_id": position.replay_id}
        note(by, Action.FORGET_POSITION, listener, reason=reason, details=details)
    managed = f"where {listener.subscription} was left"
    return managed if listener.subscription else f"at {listener.replay_from}"


def forget(position: Position) -> bool:
    """Unless somebody has taken the lease or moved on since the position was read. With a new
    epoch: a holder that was only paused must not write its position back."""
    seen = {"pk": position.pk, "epoch": position.epoch, "replay_id": position.replay_id}
    return bool(
        Position.objects.filter(**seen).update(
            replay_id="",
            named_at=None,
            subscription="",
            tip_since=None,
            caught_up_at=None,
            holder="",
            lease_until=None,
            failed_fingerprint="",
            epoch=F("epoch") + 1,
        )
    )
