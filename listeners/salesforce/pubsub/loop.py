"""One event loop, on one thread, for all the streams of a process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

_T = TypeVar("_T")
_PATIENCE = 5.0  # seconds; a name lookup on its way may take longer to end


class SharedLoop:
    """Runs as long as somebody holds it. Thread-safe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._holders = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None

    def hold(self) -> None:
        with self._guard:
            if not self._holders:
                self._start()
            self._holders += 1

    def let_go(self) -> None:
        """The last one to do so ends the thread, and waits for it."""
        with self._guard:
            self._holders -= 1
            if not self._holders:
                self._stop()

    @contextmanager
    def held(self) -> Iterator[None]:
        self.hold()
        try:
            yield
        finally:
            self.let_go()

    def submit(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run it there. Only while it is held."""
        if self._loop is None:
            work.close()
            raise RuntimeError("nobody holds the loop")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _start(self) -> None:
        is_ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(is_ready)), name="pubsub", daemon=True
        )
        self._thread.start()
        is_ready.wait()

    def _stop(self) -> None:
        if self._loop is None or self._ended is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(_PATIENCE)
        self._thread = self._loop = self._ended = None

    async def _run(self, is_ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        is_ready.set()
        await self._ended.wait()


#: gRPC's asynchronous side wants one loop in a process.
LOOP = SharedLoop()
