"""The listeners that are assigned to this process, by the processes and leases in the database; and
whether it is a standby, since other processes receive all its listeners."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import structlog
from django.db.models.functions import Now
from django.utils import timezone

from audit.db.prepared import Param, Prepared, update_query
from consumer.host import assignment_plan
from consumer.host.assignment_plan import FREE, Peer, Seat
from listeners.leases import LEASE, PRESENCE
from listeners.models import Listener, ListenerProcess, Position

log = structlog.get_logger(__name__)

#: Seconds after which any process that may run a free listener takes it, since the assigned process
#: did not. Short, since it adds to the duration of a failover.
FREE_SECONDS = 3.0
#: Seconds after which the last refresh is too old to rely on: the other processes may have died.
FRESH_SECONDS = LEASE.total_seconds()


#: The heartbeat of a process whose row is otherwise as it was.
_RENEW = Prepared(
    lambda: update_query(
        ListenerProcess.objects.filter(holder=Param("holder")), seen_until=Now() + PRESENCE
    )
)

_PROCESSES = Prepared(ListenerProcess.objects.with_gone)


def new_holder() -> str:
    """Return a name for this process, under which it holds leases."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


class Assignment:
    """This process's part of the listeners; call `refresh` each second."""

    def __init__(self, holder: str, names: Sequence[str]) -> None:
        self._me = Peer(holder, frozenset(names))
        self._names = list(names)
        self._started_at = timezone.now()
        self._peers: list[Peer] = []
        self._seats: list[Seat] = []
        self._free_since: dict[int, float] = {}
        self._written: set[int] | None = None  # `passes_over` in this process's row, if known

    def refresh(
        self, listeners: Iterable[Listener], positions: Mapping[int, Any], passes_over: set[int]
    ) -> None:
        """Write this process's heartbeat, and read the other processes. Two queries; more when
        more than the time changes in the heartbeat's row, or when a process is gone.

        `listeners`: all enabled listeners; `positions`: their positions, `with_life`;
        `passes_over`: ids of listeners that this process could not run.
        """
        self._me = Peer(self._me.holder, self._me.names, frozenset(passes_over))
        self._beat(passes_over)
        self._peers = [
            Peer(process.holder, frozenset(process.names), frozenset(process.passes_over))
            for process in _present()
        ]
        self._seats = [
            Seat(listener.pk, listener.name, _holder(positions.get(listener.pk)))
            for listener in listeners
        ]
        now = time.monotonic()
        free = [seat.pk for seat in self._seats if seat.holder == FREE]
        self._free_since = {pk: self._free_since.get(pk, now) for pk in free}

    def _beat(self, passes_over: set[int]) -> None:
        if passes_over == self._written and _RENEW.execute(holder=self._me.holder):
            return
        self._written = None  # unknown, if the commit succeeds and its confirmation is lost
        ListenerProcess.objects.beat(self._me.holder, self._names, passes_over, self._started_at)
        self._written = set(passes_over)

    def leave(self) -> None:
        """Remove this process, so that others take its listeners."""
        ListenerProcess.objects.leave(self._me.holder)

    # Queries, as of the last refresh

    def to_take(self) -> set[int]:
        """Return the free listeners that are assigned to this process, or that no other process has
        taken in time."""
        now = time.monotonic()
        not_taken = {
            seat.pk
            for seat in self._seats
            if self._me.may_run(seat) and now - self._free_since.get(seat.pk, now) >= FREE_SECONDS
        }
        return not_taken | set(assignment_plan.to_take(self._me, self._peers, self._seats))

    def to_hand_over(self) -> list[int]:
        """Return listeners of this process, one of which it should hand over; mostly none."""
        return assignment_plan.to_hand_over(self._me, self._peers, self._seats)

    def is_free(self, listener_id: int) -> bool:
        return listener_id in self._free_since

    def others_may_run(self, listener: Listener) -> bool:
        others = (peer for peer in self._peers if peer.holder != self._me.holder)
        return any(peer.may_run(Seat(listener.pk, listener.name)) for peer in others)


def _present() -> list[ListenerProcess]:
    """Return what `ListenerProcess.objects.present` returns, by a compiled query unless a process
    is gone."""
    found = _PROCESSES.objects()
    is_one_gone = any(process.gone for process in found)
    return ListenerProcess.objects.present() if is_one_gone else found


def _holder(position: Any) -> str:
    return position.holder if position is not None and position.is_held else FREE


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
