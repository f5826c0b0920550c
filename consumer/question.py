"""What is asked of somebody who may never answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Question(Generic[Value]):
    """Asked in a thread of its own, since what hangs cannot be interrupted: one thread at a time,
    whoever else asks meanwhile waits for the same answer."""

    def __init__(self, ask: Callable[[], Value], *, failed: Value, name: str) -> None:
        """`failed`: the answer where `ask` raises, which ends the thread; `name`: the thread's."""
        self._ask = ask
        self._failed = self._answer = failed
        self._name = name
        self._lock = threading.Lock()
        self._answered: threading.Event | None = None

    def begin(self) -> threading.Event:
        """Set once `answer` has the answer of now."""
        with self._lock:
            if self._answered is None:
                self._answered = threading.Event()
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            return self._answered

    def answer(self, answered: threading.Event, seconds: float, *, late: Value) -> Value:
        """`late`: where there is none within that time."""
        return self._answer if answered.wait(max(0.0, seconds)) else late

    def _run(self) -> None:
        answer = self._failed
        try:
            answer = self._ask()
        finally:
            with self._lock:
                answered, self._answered = self._answered, None
                self._answer = answer
            if answered is not None:
                answered.set()
