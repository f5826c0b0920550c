"""Whether a channel carries the changes of a mirrored object."""

from __future__ import annotations

from listeners.salesforce.channel_members import is_carried
from listeners.salesforce.rest.client import RestClient


def not_carried(rest: RestClient, channel: str, name: str) -> str:
    """Return what to do if the channel does not carry the object's changes.

    Empty if it carries them, or if the user may not see the org's Setup. Raises what RestClient
    raises.
    """
    if is_carried(rest, channel, name) is not False:
        return ""
    return (
        f"The channel {channel} does not carry changes of {name}, so no mirror can follow them. "
        f"Select {name} in Salesforce's Setup under Change Data Capture, or add it to the custom "
        "channel."
    )
