"""Processes that see only the same rows distribute the listeners evenly among themselves."""

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.host.assignment_plan import FREE, Peer, Seat, to_hand_over, to_take

NAMES = [f"listener{number}" for number in range(12)]


class Fleet:
    """Processes that act at the same time, each on what it saw before the others acted."""

    def __init__(self, peers=(), seats=()):
        self.peers = list(peers)
        self.seats = {seat.pk: seat for seat in seats}
        self.moves = 0

    def round(self) -> bool:
        """Let each process act once, and return whether any did something."""
        seen = list(self.seats.values())
        taken = [(pk, p) for p in self.peers for pk in to_take(p, self.peers, seen)]
        left = [
            (sorted(ids)[0], p) for p in self.peers if (ids := to_hand_over(p, self.peers, seen))
        ]
        for pk, peer in taken:
            if self.seats[pk].holder == FREE:  # the lease
                self.seats[pk] = replace(self.seats[pk], holder=peer.holder)
        for pk, peer in left:
            assert self.seats[pk].holder == peer.holder
            self.seats[pk] = replace(self.seats[pk], holder=FREE)
        self.moves += len(left)
        return bool(taken or left)

    def settle(self) -> None:
        """Run rounds until none changes anything. Their number must be bounded, and each move must
        make the distribution more even."""
        for _ in range(1 + 2 * len(self.seats)):
            unevenness = sum(load**2 for load in self.loads.values())
            moves = self.moves
            if not self.round():
                return
            if self.moves > moves:
                assert self.moves == moves + 1
                self.round()
                assert not self.free
                assert sum(load**2 for load in self.loads.values()) < unevenness
        assert not self.round(), "it goes on for ever"

    def end(self, peer) -> None:
        self.peers.remove(peer)
        for pk, seat in self.seats.items():
            if seat.holder == peer.holder:
                self.seats[pk] = replace(seat, holder=FREE)

    @property
    def loads(self) -> Counter[str]:
        loads = Counter({peer.holder: 0 for peer in self.peers})
        loads.update(seat.holder for seat in self.seats.values() if seat.holder != FREE)
        return loads

    @property
    def free(self):
        """Return the listeners that no process runs although one may."""
        return [
            seat
            for seat in self.seats.values()
            if seat.holder == FREE and any(peer.may_run(seat) for peer in self.peers)
        ]

    @property
    def spread(self) -> int:
        return max(self.loads.values()) - min(self.loads.values())


def seats_of(count, holder=FREE):
    return [Seat(pk, NAMES[pk], holder) for pk in range(count)]


names = st.frozensets(st.sampled_from(NAMES), max_size=4)
events = st.lists(
    st.one_of(
        st.tuples(st.just("join"), names, st.frozensets(st.integers(0, 11), max_size=3)),
        st.tuples(st.just("leave"), st.integers(0, 99)),
        st.tuples(st.just("add"), st.integers(0, 11)),
        st.tuples(st.just("remove"), st.integers(0, 11)),
        st.just(("act",)),
    ),
    max_size=40,
)


def apply(fleet: Fleet, number: int, event, *, anyone: bool) -> None:
    match event:
        case ("join", asked, passed):
            peer = Peer(f"process {number:02}")
            fleet.peers.append(peer if anyone else Peer(peer.holder, asked, passed))
        case ("leave", which) if fleet.peers:
            fleet.end(fleet.peers[which % len(fleet.peers)])
        case ("add", pk):
            fleet.seats.setdefault(pk, Seat(pk, NAMES[pk]))
        case ("remove", pk):
            fleet.seats.pop(pk, None)
        case ("act",):
            fleet.round()


@settings(max_examples=150, deadline=None)
@given(events)
def test_after_any_changes_the_load_is_even_and_complete(history):
    fleet = Fleet()
    for number, event in enumerate(history):
        apply(fleet, number, event, anyone=True)

    fleet.settle()

    assert not fleet.free
    assert not fleet.peers or fleet.spread <= 1

    fleet.peers.append(Peer("one more"))
    fleet.settle()

    assert fleet.spread <= 1


@settings(max_examples=150, deadline=None)
@given(events)
def test_with_processes_for_some_listeners_only_nothing_is_left_out_either(history):
    fleet = Fleet()
    for number, event in enumerate(history):
        apply(fleet, number, event, anyone=False)

    fleet.settle()

    assert not fleet.free
    by_holder = {peer.holder: peer for peer in fleet.peers}
    for seat in fleet.seats.values():
        if seat.holder in by_holder:
            giver = fleet.loads[seat.holder]
            able = [fleet.loads[p.holder] for p in fleet.peers if p.may_run(seat)]
            assert all(giver - load <= 1 for load in able), "it could be more even by one move"


def test_three_that_start_together_take_their_parts_at_once_and_never_the_same():
    peers = [Peer("a"), Peer("b"), Peer("c")]

    taken = [to_take(peer, peers, seats_of(7)) for peer in peers]

    assert sorted(map(len, taken)) == [2, 2, 3]
    assert sorted(pk for ids in taken for pk in ids) == list(range(7))


def test_seven_of_one_become_even_with_two_that_join_in_four_moves():
    fleet = Fleet([Peer("a"), Peer("b"), Peer("c")], seats_of(7, "a"))

    fleet.settle()

    assert sorted(fleet.loads.values()) == [2, 2, 3]
    assert fleet.moves == 4


def test_a_difference_of_two_is_made_even():
    fleet = Fleet([Peer("a"), Peer("b")], seats_of(2, "a"))

    fleet.settle()

    assert fleet.loads == {"a": 1, "b": 1}


def test_nothing_moves_while_something_is_free():
    seats = [*seats_of(4, "a"), Seat(4, NAMES[4])]

    assert to_hand_over(Peer("a"), [Peer("a"), Peer("b")], seats) == []


def test_a_difference_of_one_moves_nothing():
    seats = [*seats_of(2, "a"), Seat(2, NAMES[2], "b")]

    assert to_hand_over(Peer("a"), [Peer("a"), Peer("b")], seats) == []


def test_what_only_one_may_run_goes_to_that_one_and_the_rest_to_the_other():
    peers = [Peer("a"), Peer("b", frozenset(NAMES[:2]))]

    assert to_take(peers[0], peers, seats_of(4)) == [2, 3]
    assert to_take(peers[1], peers, seats_of(4)) == [0, 1]


def test_what_a_process_cannot_run_is_not_given_to_it():
    seats = seats_of(4, "a")
    unable = Peer("b", passes_over=frozenset(range(4)))

    assert to_hand_over(Peer("a"), [Peer("a"), unable], seats) == []
    assert to_take(Peer("a"), [Peer("a"), unable], seats_of(4)) == [0, 1, 2, 3]


def test_holders_that_say_nothing_keep_what_they_hold():
    assert to_hand_over(Peer("a"), [Peer("a")], seats_of(6, "of an older release")) == []
