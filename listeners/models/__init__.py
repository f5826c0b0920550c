"""What to hear and how: Connection, Listener, Position (where it stands, who runs it), the
processes that run listeners, what is kept of a connection's logins and of its org's limits, and who
may do what with a single one."""

from listeners.models.connection import Connection
from listeners.models.grants import (
    ConnectionGroupGrant,
    ConnectionUserGrant,
    ListenerGroupGrant,
    ListenerUserGrant,
)
from listeners.models.listener import Listener
from listeners.models.position import Position
from listeners.models.process import ListenerProcess
from listeners.models.tokens import KeptTokens, SpentToken, TokenState
from listeners.models.usage import OrgUsage

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
