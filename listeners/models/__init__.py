"""Models of connections and listeners: configuration, positions, listener processes, tokens, the
usage of an org's limits, and grants on single objects."""

from listeners.models.connection import Connection, OrgUsage
from listeners.models.grants import (
    ConnectionGroupGrant,
    ConnectionUserGrant,
    ListenerGroupGrant,
    ListenerUserGrant,
)
from listeners.models.listener import Listener
from listeners.models.position import ListenerProcess, Position
from listeners.models.tokens import KeptTokens, SpentToken, TokenState

__all__ = [
    "Connection",
    "ConnectionGroupGrant",
    "ConnectionUserGrant",
    "KeptTokens",
    "Listener",
    "ListenerGroupGrant",
    "ListenerProcess",
    "ListenerUserGrant",
    "OrgUsage",
    "Position",
    "SpentToken",
    "TokenState",
]
