"""Maps refused Bayeux messages to reactions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from listeners.salesforce.errors import Reaction

# Phrases of Salesforce's errors, the more specific ones first: the first match wins.
_BY_WORDS: tuple[tuple[str, Reaction], ...] = (
    ("server is too busy", Reaction.BACK_OFF_LONG),
    ("to protect all customers", Reaction.BACK_OFF_LONG),
    ("concurrent user limit exceeded", Reaction.BACK_OFF_LONG),
    ("daily limit exceeded", Reaction.QUOTA),
    ("unknown client", Reaction.REHANDSHAKE),
    ("has not completed handshake", Reaction.REHANDSHAKE),
    ("no bayeux_browser cookie", Reaction.REHANDSHAKE),
    ("does not match the session's user id", Reaction.REHANDSHAKE),
    ("wasn't found using the provided replay id map", Reaction.CONFIGURATION),
    ("without view all data", Reaction.CONFIGURATION),
    ("restricted channel", Reaction.CONFIGURATION),
    ("cannot create channel", Reaction.CONFIGURATION),
    ("you requested to subscribe to doesn't exist", Reaction.CONFIGURATION),
    ("subscription limit exceeded", Reaction.CONFIGURATION),
    ("channel name not specified", Reaction.CONFIGURATION),
    ("must start with a leading", Reaction.CONFIGURATION),
    ("api version in the uri is mandatory", Reaction.CONFIGURATION),
    ("invalid connection type", Reaction.CONFIGURATION),
    ("unknown channel", Reaction.CONFIGURATION),
    ("maximum request size exceeded", Reaction.CONFIGURATION),
)


def classify(
    failure_reason: str | None, error: str | None, advice: Mapping[str, Any] | None
) -> Reaction:
    """Return the reaction to a refused Bayeux message, by its reason, else error, else advice."""
    for text in (failure_reason, error):
        if text and (known := _by_text(text)):
            return known
    match (advice or {}).get("reconnect"):
        case "handshake":
            return Reaction.REHANDSHAKE
        case "none":
            return Reaction.BACK_OFF_LONG
        case "retry":
            return Reaction.RETRY
        case _:
            return Reaction.BACK_OFF_LONG if error or failure_reason else Reaction.RETRY


def _by_text(text: str) -> Reaction | None:
    words = text.casefold()
    if "replayid {" in words and "was invalid" in words:
        return Reaction.REPLAY_LOST
    for phrase, reaction in _BY_WORDS:
        if phrase in words:
            return reaction
    match words.lstrip()[:3]:
        case "401":
            return Reaction.NEW_TOKEN
        case "402":
            return Reaction.REHANDSHAKE
        case code if code.isdecimal() and code.startswith("5"):
            return Reaction.RETRY
        case _:
            return None
