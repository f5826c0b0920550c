"""What the answer to a Bayeux request means: a closed set of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from listeners.salesforce.errors import Reaction

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Received:
    """Data messages, in the order they came."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The request on this meta channel succeeded."""

    channel: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The request on this meta channel failed, or the answer asks to leave this session."""

    channel: str
    error: str
    failure_reason: str | None
    reaction: Reaction


@dataclass(frozen=True, slots=True)
class Unclear:
    """The answer lacks what a Bayeux answer to this request must hold."""

    why: str


Outcome = Received | Acknowledged | Refused | Unclear
