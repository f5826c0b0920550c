"""Whether a channel carries all changes of a mirrored object."""

from __future__ import annotations

from listeners.salesforce.channel import entity_of
from listeners.salesforce.channel_members import ChannelMembers, Coverage, is_carried
from listeners.salesforce.rest.client import RestClient


def not_carried(rest: RestClient, channel: str, name: str) -> str:
    """Return what to do if the channel does not carry the object's changes, or not all of them.

    Empty if it carries them, or if the user may not see the org's Setup. Raises what RestClient
    raises.
    """
    if entity_of(channel) is None:
        coverage = ChannelMembers(rest, channel).coverage(name)
    else:  # the channel of one object has no filter
        coverage = Coverage(is_carried(rest, channel, name))
    if coverage.is_carried is False:
        return (
            f"The channel {channel} does not carry changes of {name}, so no mirror can follow "
            f"them. Select {name} in Salesforce's Setup under Change Data Capture, or add it to "
            "the custom channel."
        )
    if coverage.filter:
        return (
            f"The channel {channel} carries only those changes of {name} that meet a filter "
            f"({coverage.filter}), so no mirror can follow the others. Use a channel without the "
            "filter."
        )
    return ""
