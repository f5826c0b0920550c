"""Start and stop listeners and forget their positions; each action is written to the action log.

NotNow   the action is not possible now; the message says what to do first
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import F

from audit.action_log import Action, Actor, note
from listeners.listener_state import is_held, position_of
from listeners.models import Listener, Position


class NotNow(Exception):
    """The action is not possible now, and nothing was changed. The message says what to do
    first."""


def start(listener: Listener, by: Actor, reason: str, now: datetime) -> bool:
    """Enable a listener; return False if it already was. Inside any transaction.

    Running listener processes notice the change.
    """
    return _switch(listener, by, reason, now, on=True)


def stop(listener: Listener, by: Actor, reason: str, now: datetime) -> bool:
    """Disable a listener; return False if it already was. Inside any transaction.

    The process that runs the listener records the changes it received, then stops.
    """
    return _switch(listener, by, reason, now, on=False)


def _switch(listener: Listener, by: Actor, reason: str, now: datetime, *, on: bool) -> bool:
    with transaction.atomic():
        opposite = Listener.objects.filter(pk=listener.pk, enabled=not on)
        if not opposite.update(enabled=on, updated_at=now):
            return False
        note(by, Action.START if on else Action.STOP, listener, reason=reason)
    return True


def obstacle(listener: Listener, now: datetime) -> str:
    """Return why the listener's position cannot be forgotten now; empty if it can."""
    position = position_of(listener)
    if position is None or not position.has_begun:
        return "There is no position to forget."
    has_failed = position.state == Position.State.FAILED  # it drains, and receives no more
    if listener.enabled and is_held(position, now) and not has_failed:
        return (
            f"A process runs this listener ({position.holder}). Disable the listener or stop "
            "the process, then forget the position."
        )
    return ""


def forget_position(listener: Listener, by: Actor, reason: str, now: datetime) -> str:
    """Forget the listener's position; return where the listener begins at its next start.

    Inside any transaction. Raises NotNow.
    """
    if why := obstacle(listener, now):
        raise NotNow(why)
    position = position_of(listener)
    with transaction.atomic():
        if position is None or not forget(position):
            raise NotNow("The listener's position has changed in between; nothing was changed.")
        details = {"replay_id": position.replay_id}
        note(by, Action.FORGET_POSITION, listener, reason=reason, details=details)
    managed = f"where {listener.subscription} was left"
    return managed if listener.subscription else f"at {listener.replay_from}"


def forget(position: Position) -> bool:
    """Clear a position; return False if another process took the lease or moved the position
    since it was read.

    The epoch grows, so that a paused holder cannot write its old position back.
    """
    as_read = {"pk": position.pk, "epoch": position.epoch, "replay_id": position.replay_id}
    return bool(
        Position.objects.filter(**as_read, newest_id=position.newest_id).update(
            replay_id="",
            shares_ids=False,
            **Position.NOT_HELD_BACK,
            replay_id_at=None,
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
