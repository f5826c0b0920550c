"""Drains listeners before their leases are released: records and publishes what they received."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import structlog

from consumer.host.runtime import HostedListener

log = structlog.get_logger(__name__)

#: Seconds that an abandoned listener's threads get to end.
GRACE_SECONDS = 1.0


class DrainingListeners:
    """The listeners that are being drained, in parallel: a slow one does not delay the others."""

    def __init__(self) -> None:
        self._draining: list[HostedListener] = []
        self._disconnecting: list[HostedListener] = []

    def __iter__(self) -> Iterator[HostedListener]:
        """Iterate over the listeners that still record, or could."""
        return iter(list(self._draining))

    def __bool__(self) -> bool:
        return bool(self._draining)

    def begin(self, several: Iterable[HostedListener], by: float) -> None:
        """Stop receiving, and record until `by` on the monotonic clock."""
        for hosted in several:
            hosted.drain(by)
            self._draining.append(hosted)

    def limit(self, by: float) -> None:
        """Let no listener drain for longer than until `by`."""
        for hosted in self._draining:
            hosted.drain_by = min(hosted.drain_by, by)

    def pop_drained(self) -> list[HostedListener]:
        """Return the listeners that were drained since the last call; their leases can be
        released."""
        drained = [hosted for hosted in self._draining if self._is_drained(hosted)]
        self._draining = [hosted for hosted in self._draining if hosted not in drained]
        leaving = [*self._disconnecting, *drained]
        self._disconnecting = [one for one in leaving if not one.receiver.has_disconnected]
        return drained

    def wait_for_disconnects(self, by: float) -> None:
        """Wait until all have disconnected from Salesforce, or until `by`."""
        while time.monotonic() < by and not all(
            hosted.receiver.has_disconnected for hosted in self._disconnecting
        ):
            time.sleep(0.02)

    @staticmethod
    def _is_drained(hosted: HostedListener) -> bool:
        if hosted.is_drained():
            return True
        if time.monotonic() < hosted.drain_by + GRACE_SECONDS:
            return False
        log.warning(
            "listener not drained in time; its unrecorded changes will be received again",
            listener=hosted.listener.name,
        )
        return True
