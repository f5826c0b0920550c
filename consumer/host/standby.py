"""Whether a process that hosts nothing stands by for others, who receive all that it may run."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import structlog

from listeners.leases import LEASE
from listeners.models import Position

log = structlog.get_logger(__name__)

#: What was seen before that counts no more: those who received then may be gone.
FRESH_SECONDS = LEASE.total_seconds()


class Standby:
    """`holder`: this process, as leases name it."""

    def __init__(self, holder: str) -> None:
        self._holder = holder
        self._is_served = self._is_said = False
        self._looked_at = float("-inf")

    def look(self, wanted: Collection[int], positions: Mapping[int, Position], now: float) -> None:
        """`wanted`: the listeners that this process may run; `positions`: theirs, `with_life`;
        `now`: monotonic seconds."""
        self._is_served = bool(wanted) and all(
            pk in positions and self._is_received_by_others(positions[pk]) for pk in wanted
        )
        self._looked_at = now
        if any(position.holder == self._holder for position in positions.values()):
            self._is_said = False
        elif self._is_served and not self._is_said:
            log.info("standing by", listeners=len(wanted))
            self._is_said = True

    def is_served(self, now: float) -> bool:
        """As of a look of just now; False where there is no listener to run at all."""
        return self._is_served and now - self._looked_at < FRESH_SECONDS

    def _is_received_by_others(self, position: Position) -> bool:
        return (
            getattr(position, "is_held", False)
            and position.holder != self._holder
            and position.state == Position.State.RECEIVING
        )
