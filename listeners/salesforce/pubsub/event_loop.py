"""The event loop that all Pub/Sub streams of a process share."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from listeners.backoff import Backoff
from listeners.threads import BackgroundThread, Step

_T = TypeVar("_T")


class SharedLoop:
    """An event loop on a daemon thread, started with the first coroutine. Thread-safe.

    It runs until the process ends, because gRPC may still use the loop of a call that is over.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Forget the loop, in a forked process, which does not have its thread."""
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def submit(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run the coroutine on the loop, and return a future of its result."""
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
                running = Step(
                    "pubsub",
                    loop.run_forever,
                    consequence="Listeners on the Pub/Sub API do not receive.",
                    backoff=Backoff(0.1, 5.0),
                )
                try:
                    BackgroundThread(running).start()
                except BaseException:
                    loop.close()
                    raise
                self._loop = loop
            return self._loop


#: gRPC's asyncio API supports only one event loop in a process.
LOOP = SharedLoop()
os.register_at_fork(after_in_child=LOOP.forget)
