"""The stored form of the replay ids of both transports.

A replay id of the Streaming API is a whole number, stored in decimal. One of the Pub/Sub API is
bytes, stored in hexadecimal after `0x`. Today these are ten bytes: the number as a big-endian
64-bit integer, and two zero bytes. Replay ids are interpreted only to switch the transport.
"""

from __future__ import annotations

import re

from listeners.salesforce.errors import ReplayLost

_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_BYTES = re.compile(r"0x((?:[0-9a-f]{2})+)", re.ASCII | re.IGNORECASE)
_LARGEST = 2**64
_TAIL = b"\0\0"


def text_of(replay_id: bytes) -> str:
    """Return a replay id of the Pub/Sub API in its stored form."""
    return f"0x{replay_id.hex()}"


def is_replay_id(text: str) -> bool:
    """Return whether the text is a replay id of either transport."""
    return bool(_NUMBER.fullmatch(text) or _BYTES.fullmatch(text))


def for_cometd(stored: str) -> str:
    """Return the stored position for the Streaming API; raise ReplayLost if it has no such form."""
    if not (given := _BYTES.fullmatch(stored)):
        return stored
    replay_id = bytes.fromhex(given[1])
    if len(replay_id) != 8 + len(_TAIL) or not replay_id.endswith(_TAIL):
        raise ReplayLost("subscription", f"the Pub/Sub replay id {stored} has no CometD form")
    return str(int.from_bytes(replay_id[:8]))


def for_pubsub(stored: str) -> bytes:
    """Return the stored position for the Pub/Sub API; raise ReplayLost if it has no such form."""
    if given := _BYTES.fullmatch(stored):
        return bytes.fromhex(given[1])
    if _NUMBER.fullmatch(stored) and int(stored) < _LARGEST:
        return int(stored).to_bytes(8) + _TAIL
    raise ReplayLost("subscription", f"the CometD replay id {stored} has no Pub/Sub form")
