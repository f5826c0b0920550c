"""What several readers ask for at once is read once: twenty open tabs cost what one does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class _Kept(Generic[T]):
    lock: threading.Lock = field(default_factory=threading.Lock)
    read_at: float = float("-inf")
    #: None or one.
    values: tuple[T, ...] = ()


class Shared(Generic[T]):
    """Values of this process, each used again for some seconds. Of those who want one that is too
    old, one reads it and the others wait for that."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._kept: dict[Hashable, _Kept[T]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, read: Callable[[], T], *, anew: bool = False) -> T:
        """`anew`: whoever asks has to see what was true after he asked."""
        asked = time.monotonic()
        oldest = asked if anew else asked - self._seconds
        kept = self._at(key, asked)
        with kept.lock:
            if kept.read_at < oldest:
                began = time.monotonic()
                kept.values = (read(),)
                kept.read_at = began
            return kept.values[0]

    def forget(self) -> None:
        with self._lock:
            self._kept.clear()

    def _at(self, key: Hashable, now: float) -> _Kept[T]:
        """What nobody has asked for since is let go of: readers come and go."""
        with self._lock:
            for other, kept in list(self._kept.items()):
                if kept.read_at < now - self._seconds and not kept.lock.locked():
                    del self._kept[other]
            return self._kept.setdefault(key, _Kept())
