"""Decides where a listener subscribes from, refuses a stored position that is not valid, and
recognizes changes that were committed before a listener began at the tip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from listeners.listener_state import has_outlived
from listeners.models import Listener, Position
from listeners.salesforce.errors import ReplayLost
from listeners.salesforce.events import PRESETS

#: Changes committed up to this long before the beginning are recorded: a transaction is published
#: some time after its commit, and clocks differ.
TIP_MARGIN = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a subscription begins: a replay id, "-1" (tip) or "-2" (earliest)."""

    replay: str
    #: When the listener began, at the tip: changes that were committed before, by more than
    #: TIP_MARGIN, are not recorded. None: all are recorded.
    listening_since: datetime | None = None


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
    managed subscription begins after the last commit that Salesforce accepted and still has, or
    where it is set up to begin, whatever the stored position is.
    """
    if position.replay_id not in ("", *PRESETS) and not position.belongs_to(
        org_id, listener.channel
    ):
        raise ReplayLost("subscription", "the position belongs to another org or channel")
    wanted = listener.subscription
    if wanted and position.has_begun and position.subscription != wanted:
        error = (
            f"the managed subscription {wanted} is not where the position is: Salesforce has not "
            "accepted it, or has deleted it since"
        )
        raise ReplayLost("subscription", error)


def is_before_start(message: Mapping[str, Any], listening_since: datetime | None) -> bool:
    """Return whether a message was committed before its listener began, by more than TIP_MARGIN;
    False if `listening_since` is None."""
    if listening_since is None:
        return False
    first = (listening_since - TIP_MARGIN).timestamp() * 1000
    return _committed(message, first) < first


def _committed(message: Mapping[str, Any], default: float) -> float:
    """Return the commit timestamp in milliseconds, or the default if the message has none."""
    try:
        value = message["data"]["payload"]["ChangeEventHeader"]["commitTimestamp"]
        return float(value)
    except (KeyError, TypeError, ValueError):
        return default
