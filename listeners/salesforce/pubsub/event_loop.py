"""One event loop, on one thread, for all the streams of a process."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

_T = TypeVar("_T")


class SharedLoop:
    """Starts with its first work and lasts as long as the process: what gRPC has yet to tell of a
    call that is over, it tells the loop of that call. Thread-safe."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """In a process that was forked: its thread is not here."""
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def submit(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run it there."""
        try:
            loop = self._running()
        except BaseException:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(work, loop)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._guard:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                try:
                    threading.Thread(target=loop.run_forever, name="pubsub", daemon=True).start()
                except BaseException:
                    loop.close()
                    raise
                self._loop = loop
            return self._loop


#: gRPC's asynchronous side wants one loop in a process.
LOOP = SharedLoop()
os.register_at_fork(after_in_child=LOOP.forget)
