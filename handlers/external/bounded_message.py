"""Messages of other projects' brokers, which are decompressed up to a limit.

Kombu decompresses a message before anyone can look at it, and a few hundred bytes may become
gigabytes.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from kombu.message import Message

#: The compressions that a message may have, and what decompresses each up to a number of bytes.
_DECOMPRESSORS: Mapping[object, Any] = {
    "application/x-gzip": zlib.decompressobj,
    "application/x-bz2": bz2.BZ2Decompressor,
    "application/x-lzma": partial(lzma.LZMADecompressor, memlimit=20_000_000),
}
#: Those that Celery has beside them, by the names of its setting `task_compression`.
_UNREAD = {"application/x-brotli": "brotli", "application/zstd": "zstd"}


class BoundedMessage(Message):
    """A message whose body is None if it is larger than the limit, or cannot be decompressed.

    `unread_compression` names a compression that is not supported. It is the last base of a
    transport's message class.
    """

    max_bytes: ClassVar[int]
    unread_compression = ""

    def __init__(self, body: Any = None, headers: Any = None, **values: Any) -> None:
        headers = dict(headers) if isinstance(headers, dict) else {}
        compression = headers.pop("compression", None)
        if isinstance(compression, str):
            self.unread_compression = _UNREAD.get(compression, "")
        body = _decompressed(body, compression, self.max_bytes)
        super().__init__(body=body, headers=headers, **values)  # type: ignore[no-untyped-call]


def bound(channel: Any, max_bytes: int) -> None:
    """Let a channel receive its messages as bounded ones."""
    bases = (channel.Message, BoundedMessage)
    channel.Message = type("Message", bases, {"max_bytes": max_bytes})


def _decompressed(body: object, compression: object, max_bytes: int) -> bytes | str | None:
    if not isinstance(body, str | bytes) or len(body) > max_bytes:
        return None
    if compression is None:
        return body
    try:
        found: bytes = _DECOMPRESSORS[compression]().decompress(body, max_bytes + 1)
    except (LookupError, TypeError, ValueError, OSError, EOFError, zlib.error, lzma.LZMAError):
        return None
    return found if len(found) <= max_bytes else None
