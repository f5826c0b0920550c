"""Where a listener subscribes from: at its stored position, unless that means nothing there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from listeners.listener_state import has_outlived
from listeners.models import Listener, Position
from listeners.salesforce.errors import ReplayLost
from listeners.salesforce.events import PRESETS


@dataclass(frozen=True, slots=True)
class Beginning:
    replay: str
    #: What was committed before is history; None: nothing of what comes is.
    not_before: datetime | None = None


def beginning_of(
    listener: Listener, position: Position, org_id: str | None, now: datetime
) -> Beginning:
    """Raises ReplayLost where changes are lost that no refusal would tell of."""
    _refuse_foreign(listener, position, org_id)
    if has_outlived(position, now):
        error = "it was away for over 72 hours, longer than Salesforce keeps changes"
        raise ReplayLost("subscription", error)
    replay = position.replay_id or listener.first_replay
    if replay == "-1" and position.tip_since:
        # Not at the tip again: something may have been committed while we were away.
        return Beginning("-2", position.tip_since)
    return Beginning(replay)


def _refuse_foreign(listener: Listener, position: Position, org_id: str | None) -> None:
    """Replay ids are an org's and a channel's own: elsewhere one would skip or repeat. And a
    managed subscription begins where it was left, whatever the position is."""
    if position.replay_id not in ("", *PRESETS) and not position.belongs_to(
        org_id, listener.channel
    ):
        raise ReplayLost("subscription", "the position belongs to another org or channel")
    wanted = listener.subscription
    has_begun = bool(position.replay_id or position.tip_since)
    if wanted and has_begun and position.subscription != wanted:
        error = f"the managed subscription {wanted} is not where the position is"
        raise ReplayLost("subscription", error)
