"""Slow reads, shared by the threads that need the same value at about the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from django.db import connection

from listeners.threads import call_in_thread

Value = TypeVar("Value")


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    read_at: float = float("-inf")
    value: Any = None


class CachedReads(Generic[Value]):
    """Values by key, each reused for some seconds. If several threads need an outdated value, one
    of them reads it and the others wait."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._entries: dict[Hashable, _Entry] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, read: Callable[[], Value], *, fresh: bool = False) -> Value:
        """Return the value of the key; with `fresh`, one read after this call began."""
        called_at = time.monotonic()
        oldest = called_at if fresh else called_at - self._seconds
        entry = self._entry(key, called_at)
        with entry.lock:
            if entry.read_at < oldest:
                began_at = time.monotonic()
                entry.value = read()
                entry.read_at = began_at
            value: Value = entry.value
            return value

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def _entry(self, key: Hashable, now: float) -> _Entry:
        """Return the key's entry, after deleting outdated entries of other keys."""
        with self._lock:
            for other, entry in list(self._entries.items()):
                if entry.read_at < now - self._seconds and not entry.lock.locked():
                    del self._entries[other]
            return self._entries.setdefault(key, _Entry())


class BackgroundRead(Generic[Value]):
    """A read that may hang. It runs in a separate thread, because it cannot be interrupted. Only
    one thread runs at a time; it closes its database connection at the end."""

    def __init__(self, read: Callable[[], Value], *, name: str, seconds: float = 0.0) -> None:
        """`name` is the thread's name, `seconds` how long a value is reused."""
        self._read = read
        self._name = name
        self._seconds = seconds
        self._lock = threading.Lock()
        self._future: Future[Value] | None = None
        self._began_at = 0.0

    def begin(self) -> Future[Value]:
        """Return the future of the current read, of a recent one, or of a new one."""
        with self._lock:
            if self._future is None or self._is_outdated(self._future):
                self._future = call_in_thread(self._name, self._read_and_close)
                self._began_at = time.monotonic()
            return self._future

    def _is_outdated(self, future: Future[Value]) -> bool:
        if not future.done():
            return False
        is_old = time.monotonic() - self._began_at >= self._seconds
        return is_old or future.exception() is not None

    def _read_and_close(self) -> Value:
        try:
            return self._read()
        finally:
            connection.close()
