"""Reads a stream ahead in a thread: the server sends while what came before is processed."""

from __future__ import annotations

import io
import queue
import threading
from typing import Any

from listeners.threads import call_in_thread

_CHUNK = 256 * 1024
#: Chunks that are read ahead: 8 MiB.
_MOST = 32
_SECONDS = 0.1  # between two looks whether the reader has stopped


class ReadAhead(io.RawIOBase):
    """The content of `source`, whose exceptions are raised where it is read. Call `stop` at the
    end: then the thread ends once its current read does."""

    def __init__(self, source: io.RawIOBase) -> None:
        self._source = source
        self._chunks: queue.Queue[bytes | BaseException] = queue.Queue(_MOST)
        self._left = memoryview(b"")
        self._is_over = threading.Event()
        call_in_thread("read ahead", self._fill)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._left:
            chunk = self._chunks.get()
            if isinstance(chunk, BaseException):
                self._chunks.put(chunk)  # a further read fails too
                raise chunk
            if not chunk:
                self._chunks.put(chunk)
                return 0
            self._left = memoryview(chunk)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def stop(self) -> None:
        """Let the thread end."""
        self._is_over.set()

    def _fill(self) -> None:
        while not self._is_over.is_set():
            item: bytes | BaseException
            try:
                item = self._source.read(_CHUNK) or b""
            except Exception as error:
                item = error
            self._put(item)
            if not item or isinstance(item, BaseException):
                return

    def _put(self, item: bytes | BaseException) -> None:
        while not self._is_over.is_set():
            try:
                self._chunks.put(item, timeout=_SECONDS)
            except queue.Full:
                continue
            return
