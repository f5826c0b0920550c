"""The transports of a run's listeners: CometD, the Pub/Sub API, or one of each."""

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
    """Return the listener's transport; with `both`, only `everything` uses the Pub/Sub API."""
    if chosen != BOTH:
        return chosen
    return PUBSUB if listener == "everything" else COMETD


def replay_id(number: int, transport: str) -> str:
    """Return the replay id in the form that a listener of that transport stores."""
    return _NAMED[transport](number)
