"""Distribute listeners evenly over processes, without a coordinator.

Pure functions. Every process reads the same rows and computes the same plan, so two processes
rarely try to take the same listener; if they do, the lease decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: The holder of a listener that no process holds.
FREE = ""


@dataclass(frozen=True, slots=True)
class Peer:
    """A live process: the names of the listeners that it was started for (empty: all), and the ids
    of listeners that it cannot run."""

    holder: str
    names: frozenset[str] = frozenset()
    passes_over: frozenset[int] = frozenset()

    def may_run(self, seat: Seat) -> bool:
        return (not self.names or seat.name in self.names) and seat.pk not in self.passes_over


@dataclass(frozen=True, slots=True)
class Seat:
    """An enabled listener, and the process that holds it."""

    pk: int
    name: str
    holder: str = FREE


def to_take(me: Peer, peers: Sequence[Peer], seats: Sequence[Seat]) -> list[int]:
    """Return the free listeners that this process should take now.

    Each goes to the process with the fewest listeners among those that may run it. Listeners that
    few processes may run are placed first.
    """
    processes = _with(me, peers)
    loads = _loads(seats)
    mine: list[int] = []
    for seat, able in _placeable(processes, seats):
        chosen = min(able, key=lambda peer: (loads[peer.holder], peer.holder))
        loads[chosen.holder] += 1
        if chosen.holder == me.holder:
            mine.append(seat.pk)
    return mine


def to_hand_over(me: Peer, peers: Sequence[Peer], seats: Sequence[Seat]) -> list[int]:
    """Return listeners of this process, one of which it should hand over; mostly none.

    One listener moves at a time: while any is free, no process hands over another. The process with
    the most listeners gives one to a process that has at least two fewer, so that each move makes
    the distribution more even, and no listener moves back.
    """
    processes = _with(me, peers)
    if _placeable(processes, seats):
        return []
    loads = _loads(seats)
    by_load = sorted(processes, key=lambda peer: (-loads[peer.holder], peer.holder))
    for giver in by_load:
        lighter = [peer for peer in processes if loads[peer.holder] <= loads[giver.holder] - 2]
        held = (seat for seat in seats if seat.holder == giver.holder)
        movable = [s.pk for s in held if any(peer.may_run(s) for peer in lighter)]
        if movable:
            return movable if giver.holder == me.holder else []
    return []


def _with(me: Peer, peers: Iterable[Peer]) -> list[Peer]:
    """Return all processes, this one with what it knows of itself."""
    return [me, *(peer for peer in peers if peer.holder != me.holder)]


def _loads(seats: Iterable[Seat]) -> Counter[str]:
    return Counter(seat.holder for seat in seats if seat.holder != FREE)


def _placeable(peers: Iterable[Peer], seats: Iterable[Seat]) -> list[tuple[Seat, list[Peer]]]:
    """Return the free listeners that a process may run, each with those processes."""
    processes = list(peers)
    free = [
        (seat, [peer for peer in processes if peer.may_run(seat)])
        for seat in seats
        if seat.holder == FREE
    ]
    placeable = [(seat, able) for seat, able in free if able]
    return sorted(placeable, key=lambda pair: (len(pair[1]), pair[0].pk))
