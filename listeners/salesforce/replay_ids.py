"""Replay ids of the two transports, as they are stored: text.

The Streaming API names an event by a whole number, stored in decimal. The Pub/Sub API does by
bytes, stored in hexadecimal behind `0x`. Today those are ten: the number as a big-endian 64-bit
integer, and two zero bytes; only to move a listener to the other transport is that looked into.
"""

from __future__ import annotations

import re

from listeners.salesforce.errors import ReplayLost

_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_BYTES = re.compile(r"0x((?:[0-9a-f]{2})+)", re.ASCII | re.IGNORECASE)
_LARGEST = 2**64
_TAIL = b"\0\0"


def text_of(replay_id: bytes) -> str:
    """A replay id of the Pub/Sub API, as it is stored."""
    return f"0x{replay_id.hex()}"


def is_replay_id(text: str) -> bool:
    """Whether it can be one, of either transport."""
    return bool(_NUMBER.fullmatch(text) or _BYTES.fullmatch(text))


def for_cometd(stored: str) -> str:
    """The stored position for the Streaming API. Raises ReplayLost for one that is none there."""
    if not (given := _BYTES.fullmatch(stored)):
        return stored
    replay_id = bytes.fromhex(given[1])
    if len(replay_id) != 8 + len(_TAIL) or not replay_id.endswith(_TAIL):
        raise ReplayLost("subscription", f"the Pub/Sub replay id {stored} holds no CometD one")
    return str(int.from_bytes(replay_id[:8]))


def for_pubsub(stored: str) -> bytes:
    """The stored position for the Pub/Sub API. Raises ReplayLost for one that is none there."""
    if given := _BYTES.fullmatch(stored):
        return bytes.fromhex(given[1])
    if _NUMBER.fullmatch(stored) and int(stored) < _LARGEST:
        return int(stored).to_bytes(8) + _TAIL
    raise ReplayLost("subscription", f"the CometD replay id {stored} has no Pub/Sub form")
