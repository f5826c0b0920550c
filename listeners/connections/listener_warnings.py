"""Warnings about listener settings that are valid but harmful or without effect."""

from __future__ import annotations

import re

from listeners.listener_state import KEEP_ALIVE_SECONDS
from listeners.models import Listener
from listeners.models.connection_rules import default_of

#: Pub/Sub endpoints of Salesforce itself, over TLS. The connection's token is sent to the endpoint,
#: so entering any other endpoint takes the permission to change the connection.
OF_SALESFORCE = re.compile(r"[a-z0-9.-]+\.salesforce\.com:7443")
ENDPOINT_IS_CLOSED = "Only users who may change connection {} may use another endpoint."
#: Settings that only the Pub/Sub API uses.
OF_PUBSUB = ("pubsub_endpoint", "managed_subscription")
#: Settings that the managed subscription overrides, with its effect.
_MANAGED = {
    "replay_from": "the managed subscription sets the start position",
    "on_replay_lost": "the managed subscription sets the position; only stop is used",
}


def warnings(listener: Listener) -> list[tuple[str, str]]:
    """Return the warnings about the listener, as (field, text)."""
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
        f"with session_timeout below {KEEP_ALIVE_SECONDS:g} an idle stream is closed and reopened: "
        f"Salesforce may wait {KEEP_ALIVE_SECONDS:g} s between keep-alives"
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
