"""What of all the listeners falls to this process, as the database tells it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.utils import timezone

from consumer.host import assignment_plan
from consumer.host.assignment_plan import FREE, Peer, Seat
from listeners.models import Listener, ListenerProcess

#: A listener that is free for so long is anyone's who may run it: whoever it was meant for did not
#: come. Short, since a failover takes it on top of the lease.
FREE_SECONDS = 3.0


class Share:
    """A process among the others; `look` anew each second."""

    def __init__(self, holder: str, names: Sequence[str]) -> None:
        self._me = Peer(holder, frozenset(names))
        self._names = list(names)
        self._started_at = timezone.now()
        self._peers: list[Peer] = []
        self._seats: list[Seat] = []
        self._free_since: dict[int, float] = {}

    def look(
        self, listeners: Iterable[Listener], positions: Mapping[int, Any], passes_over: set[int]
    ) -> None:
        """Say that this process is there, and see who else is. Two queries.

        `listeners`: the enabled ones, of all processes; `positions`: theirs, `with_life`;
        `passes_over`: those that this process could not run.
        """
        self._me = Peer(self._me.holder, self._me.names, frozenset(passes_over))
        ListenerProcess.objects.beat(self._me.holder, self._names, passes_over, self._started_at)
        self._peers = [
            Peer(process.holder, frozenset(process.names), frozenset(process.passes_over))
            for process in ListenerProcess.objects.present()
        ]
        self._seats = [
            Seat(listener.pk, listener.name, _holder(positions.get(listener.pk)))
            for listener in listeners
        ]
        now = time.monotonic()
        free = [seat.pk for seat in self._seats if seat.holder == FREE]
        self._free_since = {pk: self._free_since.get(pk, now) for pk in free}

    def leave(self) -> None:
        """Others need not count on this process any more."""
        ListenerProcess.objects.leave(self._me.holder)

    # Queries, as of the last look

    def to_take(self) -> set[int]:
        """The free listeners that are this process's, or that nobody else has taken in time."""
        left_lying = {
            seat.pk
            for seat in self._seats
            if self._me.may_run(seat) and self._lies(seat.pk) >= FREE_SECONDS
        }
        return left_lying | set(assignment_plan.to_take(self._me, self._peers, self._seats))

    def to_let_go(self) -> list[int]:
        """Those that this process runs and of which it should let one go."""
        return assignment_plan.to_let_go(self._me, self._peers, self._seats)

    def is_free(self, listener_id: int) -> bool:
        return listener_id in self._free_since

    def others_may_run(self, listener: Listener) -> bool:
        seat = Seat(listener.pk, listener.name)
        return assignment_plan.has_stand_in(seat, self._me, self._peers)

    def _lies(self, listener_id: int) -> float:
        """Seconds for which it was seen free."""
        now = time.monotonic()
        return now - self._free_since.get(listener_id, now)


def _holder(position: Any) -> str:
    return position.holder if position is not None and position.is_held else FREE
