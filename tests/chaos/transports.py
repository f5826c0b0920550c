"""How the listeners of a run hear the org: over CometD, over the Pub/Sub API, or one each way."""

from __future__ import annotations

from collections.abc import Callable, Mapping

COMETD, PUBSUB, BOTH = "cometd", "pubsub", "both"
CHOICES = (COMETD, PUBSUB, BOTH)

#: An event's number in the org's log, as the audit log has it.
_NAMED: Mapping[str, Callable[[int], str]] = {
    COMETD: str,
    PUBSUB: lambda number: "0x" + (number.to_bytes(8, "big") + bytes(2)).hex(),
}


def transport_of(listener: str, chosen: str) -> str:
    """With `both`, only the listener of everything is on the Pub/Sub API."""
    if chosen != BOTH:
        return chosen
    return PUBSUB if listener == "everything" else COMETD


def replay_id(number: int, transport: str) -> str:
    """As a listener of that transport keeps it."""
    return _NAMED[transport](number)
