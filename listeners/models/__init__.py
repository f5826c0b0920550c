"""What to hear and how: Connection, Listener, Position (where it stands, who runs it), and what is
kept of a connection's logins."""

from listeners.models.connection import Connection
from listeners.models.listener import Listener
from listeners.models.position import Position
from listeners.models.tokens import KeptTokens, SpentToken, TokenState

__all__ = ["Connection", "KeptTokens", "Listener", "Position", "SpentToken", "TokenState"]
