"""How much of each kind of answer is read, and how much may be made of it. Pure.

A server, or whoever answers in its place, decides what an answer holds. A gigabyte of zeros is a
small gzip, and ``[[],[],…]`` takes twenty times its length once it is parsed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

KIB, MIB = 1024, 1024 * 1024
#: Arrays and objects within one another; Salesforce nests about five.
DEEPEST = 100
# A text, also one that does not end, or what is between texts. It never backtracks.
_PIECE = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[^"]++', re.DOTALL)
# Only JSON that begins so has many values; a table of a bulk query has many commas, too.
_NESTS = re.compile(rb"[\s\0\xef\xbb\xbf\xfe\xff]*+[\[{]")


@dataclass(frozen=True, slots=True)
class AnswerLimit:
    """``kind`` names the answer in messages. ``size`` is in bytes, as they are once decompressed.
    ``values`` bounds the JSON values: each takes up to 200 bytes of memory, whatever its length."""

    kind: str
    size: int
    values: int

    def flaw(self, body: bytes | bytearray) -> str:
        """What of a body is over the limit; empty when nothing is."""
        if len(body) > self.size:
            return f"more than {shown(self.size)}"
        if _NESTS.match(body) and has_more_values(body, self.values):
            return f"more than {self.values:,} JSON values"
        return ""


LOGIN = AnswerLimit("a login", 256 * KIB, 20_000)
ORG = AnswerLimit("the org's versions and limits", MIB, 50_000)
#: Salesforce's own buffers hold 10 MiB.
EVENTS = AnswerLimit("change events", 32 * MIB, 1_000_000)
#: 2,000 records of 800 fields, or a description of all objects.
RECORDS = AnswerLimit("records", 32 * MIB, 2_000_000)
#: Whatever a handler asks for, unless it reads the answer in parts (``stream=True``).
HANDLER = AnswerLimit("a handler's request", 64 * MIB, 4_000_000)
SCHEMA = AnswerLimit("a schema", 4 * MIB, 200_000)
#: A message of gRPC; Salesforce sends at most 4 MB.
MESSAGE = AnswerLimit("a Pub/Sub message", 16 * MIB, 0)
#: The payload of one event; Salesforce's has at most 1 MB.
EVENT = AnswerLimit("an event", 2 * MIB, 0)


def shown(size: int) -> str:
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"


def has_more_values(body: bytes | bytearray, most: int) -> bool:
    """Whether JSON text has more arrays, objects and members than that."""
    if _marks(body) <= most:
        return False
    found = 0  # texts may hold commas and brackets: without them
    for piece in _PIECE.finditer(body):
        if body[piece.start()] != 0x22:
            found += _marks(piece[0])
            if found > most:
                return True
    return False


def is_deeper(value: Any, most: int = DEEPEST) -> bool:
    """Whether arrays and objects are nested deeper than that."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
        level = [
            within
            for one in level
            for within in (one.values() if isinstance(one, dict) else one)
            if isinstance(within, dict | list)
        ]
    return bool(level)


def _marks(text: bytes | bytearray) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")
