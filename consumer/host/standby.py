"""Decides whether an idle process is a standby: other processes receive all its listeners."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import structlog

from listeners.leases import LEASE
from listeners.models import Position

log = structlog.get_logger(__name__)

#: Seconds after which the last refresh is too old to rely on: the other processes may have died.
FRESH_SECONDS = LEASE.total_seconds()


class Standby:
    """The standby state of the process that leases name `holder`."""

    def __init__(self, holder: str) -> None:
        self._holder = holder
        self._is_served = self._is_logged = False
        self._refreshed_at = float("-inf")

    def refresh(
        self, wanted: Collection[int], positions: Mapping[int, Position], now: float
    ) -> None:
        """Update the state.

        `wanted`: ids of the listeners that this process may run; `positions`: their positions,
        `with_life`; `now`: monotonic seconds.
        """
        self._is_served = bool(wanted) and all(
            pk in positions and self._is_received_by_others(positions[pk]) for pk in wanted
        )
        self._refreshed_at = now
        if any(position.holder == self._holder for position in positions.values()):
            self._is_logged = False
        elif self._is_served and not self._is_logged:
            log.info("standing by", listeners=len(wanted))
            self._is_logged = True

    def is_served(self, now: float) -> bool:
        """Return whether other processes receive all listeners, by a recent refresh; False if there
        are no listeners."""
        return self._is_served and now - self._refreshed_at < FRESH_SECONDS

    def _is_received_by_others(self, position: Position) -> bool:
        return (
            getattr(position, "is_held", False)
            and position.holder != self._holder
            and position.state == Position.State.RECEIVING
        )
