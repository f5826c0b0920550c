"""Derive the ids of a trace and of its first span from a change.

Every process derives the same ids, so that no message or row has to carry them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Identity:
    """A trace id of 128 bits and a span id of 64 bits, as W3C Trace Context defines them."""

    trace_id: int
    span_id: int


def of_change(entry_id: int, received_at: datetime) -> Identity:
    """Return the identity of an entry's trace. The time tells installations apart."""
    return _of(b"change", entry_id, microseconds(received_at))


def of_redelivery(
    entry_id: int, received_at: datetime, delivery_id: int, redelivery_id: int
) -> Identity:
    """Return the identity of the trace of one redelivery of a delivery."""
    return _of(b"redelivery", entry_id, microseconds(received_at), delivery_id, redelivery_id)


def microseconds(moment: datetime) -> int:
    """Return the microseconds since 1970, UTC, which is the precision of databases."""
    return (moment - _EPOCH) // _MICROSECOND


def _of(kind: bytes, *numbers: int) -> Identity:
    digest = blake2b(repr(numbers).encode(), digest_size=24, person=kind).digest()
    return Identity(int.from_bytes(digest[:16]), int.from_bytes(digest[16:]))
