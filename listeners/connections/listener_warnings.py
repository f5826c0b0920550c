"""What an operator should know about a listener's settings that are valid, and do nothing, or
harm."""

from __future__ import annotations

import re

from listeners.listener_state import KEEP_ALIVE_SECONDS
from listeners.models import Listener
from listeners.models.connection_rules import default_of

#: Pub/Sub endpoints at which only Salesforce can answer, over TLS. Any other gets a token of the
#: connection too: to name it is for who may change that one, and could send it anywhere.
OF_SALESFORCE = re.compile(r"[a-z0-9.-]+\.salesforce\.com:7443")
ENDPOINT_IS_CLOSED = "To name it takes the permission to change connection {}."
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
    return _restless(listener) + _managed(listener)


def _restless(listener: Listener) -> list[tuple[str, str]]:
    if listener.session_timeout >= KEEP_ALIVE_SECONDS:
        return []
    text = (
        f"with session_timeout below {KEEP_ALIVE_SECONDS:g} an idle stream is torn down: a "
        "keep-alive may take as long"
    )
    return [("session_timeout", text)]


def _managed(listener: Listener) -> list[tuple[str, str]]:
    if not listener.subscription:
        return []
    return [
        (name, f"{name} does nothing with managed_subscription: {instead}")
        for name, instead in _MANAGED.items()
        if getattr(listener, name) not in (default_of(listener, name), Listener.ReplayLost.STOP)
    ]
