"""Whether a channel carries all changes of a mirrored object."""

from __future__ import annotations

from listeners.salesforce.channel_members import coverage_of
from listeners.salesforce.rest.client import RestClient


def not_carried(rest: RestClient, channel: str, name: str) -> str | None:
    """Return what to do if the channel does not carry the object's changes, or filters them.

    Empty if it carries them all; None if that cannot be seen, such as by a user who may not see the
    org's Setup. Raises what RestClient raises.
    """
    coverage = coverage_of(rest, channel, name)
    if coverage.is_carried is False:
        return (
            f"The channel {channel} does not carry changes of {name}, so no mirror can follow "
            f"them. Select {name} in Salesforce's Setup under Change Data Capture, or add it to "
            "the custom channel."
        )
    if coverage.filter:
        return (
            f"The channel {channel} filters changes of {name} ({coverage.filter}), so a mirror "
            "would miss the others. Remove the filter, or name a listener of a channel that "
            f"carries {name} without one."
        )
    return "" if coverage.is_carried else None
