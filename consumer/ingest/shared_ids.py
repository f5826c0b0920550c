"""Holds the stored position back on channels where several events have the same replay id: a
subscription that began at such an id would miss the rest of its events.

Salesforce groups the same change of many records into one event. On a channel with enriched fields
or a filter it delivers that event as one for each record, all with the replay id of the group. A
subscription that begins after this id does not receive the rest of the group. So the position, from
which a new subscription begins, stays before the newest id until an event with another id arrives,
or Salesforce reports that nothing follows. After a restart the events of the newest id arrive
again, and those that are recorded add nothing.

Custom channels are always treated so: the first event of a group may look like any other. Standard
channels are treated so once two events that follow one another have the same id, and are not the
same event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from audit.models import AuditLogEntry
from consumer import incidents
from listeners.models import Position
from listeners.salesforce.channel import is_custom
from listeners.salesforce.events import ChangeEvent


@dataclass(frozen=True, slots=True)
class HeldBack:
    """The fields of a position that stays before its newest id (`Position`)."""

    replay_id: str
    newest_id: str
    newest_batches: int
    shares_ids: bool
    replay_id_at: datetime | None

    @property
    def position_token(self) -> str:
        return f"{self.newest_id}#{self.newest_batches}"


def after_batch(
    position: Position,
    channel: str,
    messages: Sequence[Sequence[ChangeEvent]],
    new: Sequence[AuditLogEntry],
) -> HeldBack | None:
    """Return where a recorded batch leaves the locked position; None if ids are not shared.

    `messages` has the events of each message; `new` are the entries that the batch added.
    """
    if not (position.shares_ids or is_custom(channel) or _repeats_an_id(position, messages, new)):
        return None
    return _held_back(position, channel, [events[-1] for events in messages])


def after_unreadable(position: Position, channel: str, replay_id: str) -> HeldBack | None:
    """Return where an event that cannot be read leaves the locked position, like `after_batch`."""
    if replay_id and (position.shares_ids or is_custom(channel)):
        return _behind_recorded(position, channel, replay_id)
    return None


def _held_back(position: Position, channel: str, events: Sequence[ChangeEvent]) -> HeldBack:
    newest = events[-1].replay_id
    held_back = _behind_recorded(position, channel, newest)
    before = next((event for event in reversed(events) if event.replay_id != newest), None)
    if before is None:
        return held_back
    committed_at = incidents.utc_of(before.commit_timestamp)
    return replace(held_back, replay_id=before.replay_id, replay_id_at=committed_at)


def _behind_recorded(position: Position, channel: str, newest: str) -> HeldBack:
    """Return the position before an id that follows, or is, the last recorded one."""
    before, before_at = position.replay_id, position.replay_id_at
    if position.newest_id not in ("", newest):
        before, before_at = position.newest_id, position.last_event_at
    elif not position.newest_id and before_at is None:
        moments = (position.last_event_at, position.named_at)
        before_at = max((moment for moment in moments if moment is not None), default=None)
    batches = position.newest_batches + 1 if newest == position.newest_id else 1
    shares_ids = position.shares_ids or not is_custom(channel)
    return HeldBack(before, newest, batches, shares_ids, before_at)


def _repeats_an_id(
    position: Position, messages: Sequence[Sequence[ChangeEvent]], new: Sequence[AuditLogEntry]
) -> bool:
    first_id = messages[0][-1].replay_id
    # An event that Salesforce sends again has the same id, but adds no entry.
    if first_id == position.replay_id and any(entry.replay_id == first_id for entry in new):
        return True
    if len(messages) == 1 or len({events[-1].replay_id for events in messages}) == len(messages):
        return False
    return any(
        first[-1].replay_id == second[-1].replay_id and first[-1] != second[-1]
        for first, second in pairwise(messages)
    )


def is_after(
    position: Position, before: str, newest: str, *, nothing_follows: bool = False
) -> bool:
    """Return whether the position is where a batch that ends with the id `newest` leaves it, if it
    was at `before` (`Position.position_token`). `nothing_follows`: the batch is a keep-alive."""
    repeats = before.startswith(f"{newest}#")
    if not position.newest_id:
        # Only a keep-alive moves a position to the id before which it is held back. A bare id where
        # ids are not known to be shared is from before the first batch that repeated it.
        is_shared = position.shares_ids or is_custom(position.channel)
        return position.replay_id == newest and (not repeats or (nothing_follows and is_shared))
    if position.newest_id != newest:
        return False
    batches = position.newest_batches
    return before == f"{newest}#{batches - 1}" if batches > 1 else not repeats


def newest_of(position_token: str) -> str:
    """Return the newest id in the token of a position that is held back."""
    return position_token.rpartition("#")[0]
