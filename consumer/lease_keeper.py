"""Renews the leases of a process's listeners, apart from everything else it does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from django.db import connection

from consumer.database import waiting_for_database
from consumer.hosted import HostedListener
from listeners.models import Position

RENEW_SECONDS = 3.0


class LeaseKeeper:
    """While one listener is drained, the others keep their leases, and it keeps its own."""

    def __init__(self, hosted: Callable[[], Sequence[HostedListener]]) -> None:
        """`hosted` is called from the keeper's thread."""
        self._hosted = hosted
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            while not self._ended.wait(RENEW_SECONDS):
                with waiting_for_database():
                    self._renew()
        finally:
            connection.close()

    def _renew(self) -> None:
        by_lease = {hosted.lease: hosted for hosted in self._hosted()}
        for lease in Position.objects.renew(list(by_lease)):
            by_lease[lease].lease_is_lost = True
