"""Which process runs which listener: as evenly as can be, without anybody in charge.

Pure. Every process looks at the same rows and comes to the same plan, so that they seldom reach for
the same listener; where they do, the lease decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Nobody holds it.
FREE = ""


@dataclass(frozen=True, slots=True)
class Peer:
    """A live process: the listeners it was asked to run (none: all), and those it can't run."""

    holder: str
    names: frozenset[str] = frozenset()
    passes_over: frozenset[int] = frozenset()

    def may_run(self, seat: Seat) -> bool:
        return (not self.names or seat.name in self.names) and seat.pk not in self.passes_over


@dataclass(frozen=True, slots=True)
class Seat:
    """A listener that is to run, and who holds it."""

    pk: int
    name: str
    holder: str = FREE


def to_take(me: Peer, peers: Sequence[Peer], seats: Sequence[Seat]) -> list[int]:
    """The free listeners that are mine to take now.

    Each goes to the one with the fewest listeners of those that may run it; the ones that few may
    run go first.
    """
    everybody = _with(me, peers)
    loads = _loads(seats)
    mine: list[int] = []
    for seat, able in _placeable(everybody, seats):
        chosen = min(able, key=lambda peer: (loads[peer.holder], peer.holder))
        loads[chosen.holder] += 1
        if chosen.holder == me.holder:
            mine.append(seat.pk)
    return mine


def to_let_go(me: Peer, peers: Sequence[Peer], seats: Sequence[Seat]) -> list[int]:
    """Those of mine of which I should let one go; mostly none.

    One listener of all moves at a time: while one is free, everybody waits. The process that has
    most gives to one that has at least two fewer, so that each move makes it more even, and none
    is ever moved back.
    """
    everybody = _with(me, peers)
    if _placeable(everybody, seats):
        return []
    loads = _loads(seats)
    by_load = sorted(everybody, key=lambda peer: (-loads[peer.holder], peer.holder))
    for giver in by_load:
        lighter = [peer for peer in everybody if loads[peer.holder] <= loads[giver.holder] - 2]
        held = (seat for seat in seats if seat.holder == giver.holder)
        movable = [s.pk for s in held if any(peer.may_run(s) for peer in lighter)]
        if movable:
            return movable if giver.holder == me.holder else []
    return []


def has_stand_in(seat: Seat, me: Peer, peers: Iterable[Peer]) -> bool:
    """Whether another process may run it."""
    return any(peer.holder != me.holder and peer.may_run(seat) for peer in peers)


def _with(me: Peer, peers: Iterable[Peer]) -> list[Peer]:
    """Everybody, me as I know myself."""
    return [me, *(peer for peer in peers if peer.holder != me.holder)]


def _loads(seats: Iterable[Seat]) -> Counter[str]:
    return Counter(seat.holder for seat in seats if seat.holder != FREE)


def _placeable(peers: Iterable[Peer], seats: Iterable[Seat]) -> list[tuple[Seat, list[Peer]]]:
    """The free listeners that somebody may run, and who."""
    everybody = list(peers)
    free = [
        (seat, [peer for peer in everybody if peer.may_run(seat)])
        for seat in seats
        if seat.holder == FREE
    ]
    return sorted((one for one in free if one[1]), key=lambda one: (len(one[1]), one[0].pk))
