"""Listeners that a process lets go of: what they received is recorded and published first."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import structlog

from consumer.host.runtime import HostedListener

log = structlog.get_logger(__name__)

#: To end what was given up.
GRACE_SECONDS = 1.0


class Departures:
    """They leave side by side, and nobody waits for them: a slow one holds up no other."""

    def __init__(self) -> None:
        self._leaving: list[HostedListener] = []
        self._parting: list[HostedListener] = []

    def __iter__(self) -> Iterator[HostedListener]:
        """Those that still record, or could."""
        return iter(list(self._leaving))

    def __bool__(self) -> bool:
        return bool(self._leaving)

    def begin(self, several: Iterable[HostedListener], by: float) -> None:
        """Nothing more is received; recorded is until `by` on the monotonic clock."""
        for hosted in several:
            hosted.leave(by)
            self._leaving.append(hosted)

    def hurry(self, by: float) -> None:
        """None of them may take longer than that."""
        for hosted in self._leaving:
            hosted.leave_by = min(hosted.leave_by, by)

    def ended(self) -> list[HostedListener]:
        """Those that left since this was asked last, for their leases to be given back."""
        ended = [hosted for hosted in self._leaving if self._has_left(hosted)]
        self._leaving = [hosted for hosted in self._leaving if hosted not in ended]
        self._parting = [one for one in [*self._parting, *ended] if not one.has_said_goodbye]
        return ended

    def say_goodbye(self, by: float) -> None:
        """Wait until Salesforce was told, or until `by`."""
        while time.monotonic() < by and not all(one.has_said_goodbye for one in self._parting):
            time.sleep(0.02)

    @staticmethod
    def _has_left(hosted: HostedListener) -> bool:
        if hosted.has_left():
            return True
        if time.monotonic() < hosted.leave_by + GRACE_SECONDS:
            return False
        log.warning("not drained in time; it comes again", listener=hosted.listener.name)
        return True
