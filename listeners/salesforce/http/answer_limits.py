"""Limits on the size of answers, and on the number and depth of their JSON values.

They protect memory against a faulty or hostile server: a gigabyte of zeros is a small gzip, and
``[[],[],…]`` takes twenty times its length once parsed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

KIB, MIB = 1024, 1024 * 1024
#: Nested arrays and objects; Salesforce's answers have about five levels.
DEEPEST = 100
# A string, possibly unterminated, or the part between strings. It never backtracks.
_PIECE = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[^"]++', re.DOTALL)
# Only JSON that starts with a bracket can have many values; CSV also has many commas.
_NESTS = re.compile(rb"[\s\0\xef\xbb\xbf\xfe\xff]*+[\[{]")


@dataclass(frozen=True, slots=True)
class AnswerLimit:
    """The limit for a kind of answer.

    ``kind`` names the answer in messages. ``size`` is in bytes after decompression. ``values`` is
    the number of JSON values, each of which takes up to 200 bytes of memory.
    """

    kind: str
    size: int
    values: int

    def flaw(self, body: bytes | bytearray) -> str:
        """Return which limit the body exceeds; empty if none."""
        if len(body) > self.size:
            return f"more than {shown(self.size)}"
        if _NESTS.match(body) and has_more_values(body, self.values):
            return f"more than {self.values:,} JSON values"
        return ""


LOGIN = AnswerLimit("a login", 256 * KIB, 20_000)
ORG = AnswerLimit("the org's versions and limits", MIB, 50_000)
#: Salesforce buffers at most 10 MiB.
EVENTS = AnswerLimit("change events", 32 * MIB, 1_000_000)
#: Enough for 2,000 records of 800 fields, or for the description of all objects.
RECORDS = AnswerLimit("records", 32 * MIB, 2_000_000)
#: For requests of handlers, unless they read the answer in parts (``stream=True``).
HANDLER = AnswerLimit("a handler's request", 64 * MIB, 4_000_000)
SCHEMA = AnswerLimit("a schema", 4 * MIB, 200_000)
#: A gRPC message; Salesforce sends at most 4 MB.
MESSAGE = AnswerLimit("a Pub/Sub message", 16 * MIB, 0)
#: The payload of an event; Salesforce's payloads have at most 1 MB.
EVENT = AnswerLimit("an event", 2 * MIB, 0)


def shown(size: int) -> str:
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"


def has_more_values(body: bytes | bytearray, most: int) -> bool:
    """Return whether JSON text has more than ``most`` arrays, objects and members."""
    if _marks(body) <= most:
        return False
    found = 0  # counted again without the commas and brackets inside strings
    for piece in _PIECE.finditer(body):
        if body[piece.start()] != 0x22:
            found += _marks(piece[0])
            if found > most:
                return True
    return False


def is_deeper(value: Any, most: int = DEEPEST) -> bool:
    """Return whether arrays and objects are nested deeper than ``most`` levels."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


def _marks(text: bytes | bytearray) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")
