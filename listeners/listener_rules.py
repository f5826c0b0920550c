"""What an operator should know about a listener's settings that are valid, and do nothing."""

from __future__ import annotations

from listeners.connection_rules import default_of
from listeners.models import Listener

#: What only the Pub/Sub API heeds.
OF_PUBSUB = ("pubsub_endpoint", "managed_subscription")
#: What the managed subscription says in their place.
_MANAGED = {
    "replay_from": "it begins where the managed subscription says",
    "on_replay_lost": "it goes on where the managed subscription says; stop is heeded",
}


def warnings(listener: Listener) -> list[tuple[str, str]]:
    """(field, text) of each."""
    if listener.transport != Listener.Transport.PUBSUB:
        return [
            (name, f"{name} does nothing with {listener.transport}")
            for name in OF_PUBSUB
            if getattr(listener, name) != default_of(listener, name)
        ]
    if not listener.subscription:
        return []
    return [
        (name, f"{name} does nothing with managed_subscription: {instead}")
        for name, instead in _MANAGED.items()
        if getattr(listener, name) not in (default_of(listener, name), Listener.ReplayLost.STOP)
    ]
