"""The start of a subscription: the channel and the replay position."""

from simulator.org.channels import SubscriptionRefusedError
from simulator.org.events import StoredEvent
from simulator.org.org import Org
from simulator.org.records import JsonObject

NEW_EVENTS = -1
ALL_RETAINED = -2


def backlog(org: Org, message: JsonObject) -> list[StoredEvent]:
    """Return the retained events to replay. Raises SubscriptionRefusedError."""
    channel = message.get("subscription")
    if not isinstance(channel, str) or not channel:
        raise SubscriptionRefusedError("400::Channel name not specified")
    if not channel.startswith("/"):
        raise SubscriptionRefusedError("400::Channel subscriptions must start with a leading '/'")
    org.channels.check(channel)
    return [
        event
        for event in _retained(org, _replay_id(message, channel))
        if org.channels.carries(channel, event.entity)
    ]


def _replay_id(message: JsonObject, channel: str) -> object:
    """Return the position for this channel; without the replay extension, the tip."""
    ext = message.get("ext")
    positions = ext.get("replay") if isinstance(ext, dict) else None
    if not isinstance(positions, dict):
        return NEW_EVENTS
    if channel not in positions:
        given = ", ".join(f"{name}={position}" for name, position in positions.items())
        raise SubscriptionRefusedError(
            f"400::The replayId for channel {{{channel}}} wasn't found using the provided replay "
            f"ID map {{{{{given}}}}}. Ensure that the channel name you provided in the replay map "
            "is valid and matches the channel name used for subscribing."
        )
    return positions[channel]


def _retained(org: Org, replay_id: object) -> list[StoredEvent]:
    if replay_id == NEW_EVENTS:
        return []
    if replay_id == ALL_RETAINED:
        return org.log.retained()
    if not isinstance(replay_id, int) or not org.log.knows(replay_id):
        shown = "null" if replay_id is None else replay_id
        raise SubscriptionRefusedError(
            f"400::The replayId {{{shown}}} you provided was invalid.  Please provide a valid "
            "ID, -2 to replay all events, or -1 to replay only new events."
        )
    return org.log.after(replay_id)
