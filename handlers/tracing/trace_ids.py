"""The ids of a trace and of its first span, which every process finds for itself: of what all of
them know of a change, so that neither a message nor a row carries them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Identity:
    """As W3C Trace Context has them: 128 and 64 bits, evenly spread."""

    trace_id: int
    span_id: int


def of_change(entry_id: int, received_at: datetime) -> Identity:
    """An audit entry's. With the time, since two installations have entries of the same number."""
    return _of(b"change", entry_id, microseconds(received_at))


def of_redelivery(
    entry_id: int, received_at: datetime, delivery_id: int, redelivery_id: int
) -> Identity:
    """A delivery's, from when it is sent again until that is over."""
    return _of(b"redelivery", entry_id, microseconds(received_at), delivery_id, redelivery_id)


def microseconds(moment: datetime) -> int:
    """Since 1970, UTC, to the last one: databases keep no more."""
    return (moment - _EPOCH) // _MICROSECOND


def _of(kind: bytes, *numbers: int) -> Identity:
    digest = blake2b(repr(numbers).encode(), digest_size=24, person=kind).digest()
    return Identity(int.from_bytes(digest[:16]), int.from_bytes(digest[16:]))
