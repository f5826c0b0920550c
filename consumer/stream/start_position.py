"""Decides where a listener subscribes from, and refuses a stored position that is not valid."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from listeners.listener_state import has_outlived
from listeners.models import Listener, Position
from listeners.salesforce.errors import ReplayLost
from listeners.salesforce.events import PRESETS


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a subscription begins: a replay id, "-1" (tip) or "-2" (earliest)."""

    replay: str
    #: Changes committed before this time are not recorded; None: all are recorded.
    not_before: datetime | None = None


def beginning_of(
    listener: Listener, position: Position, org_id: str | None, now: datetime
) -> Beginning:
    """Return where the listener begins. Raises ReplayLost where changes are lost that Salesforce
    would not report."""
    _refuse_foreign(listener, position, org_id)
    if has_outlived(position, now):
        error = "the listener was away for over 72 hours, longer than Salesforce retains events"
        raise ReplayLost("subscription", error)
    replay = position.replay_id or listener.first_replay
    if replay == "-1" and position.tip_since:
        # Not at the tip again: changes may have been committed while the listener was away.
        return Beginning("-2", position.tip_since)
    return Beginning(replay)


def _refuse_foreign(listener: Listener, position: Position, org_id: str | None) -> None:
    """Raise ReplayLost for a position of another org, channel or managed subscription.

    A replay id is valid only for its org and channel: elsewhere it would skip or repeat changes. A
    managed subscription begins where it was left, whatever the stored position is.
    """
    if position.replay_id not in ("", *PRESETS) and not position.belongs_to(
        org_id, listener.channel
    ):
        raise ReplayLost("subscription", "the position belongs to another org or channel")
    wanted = listener.subscription
    has_begun = bool(position.replay_id or position.tip_since)
    if wanted and has_begun and position.subscription != wanted:
        error = f"the managed subscription {wanted} is not where the position is"
        raise ReplayLost("subscription", error)
