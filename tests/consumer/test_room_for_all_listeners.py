"""The listeners of a process share a limit on the bytes that are received and not recorded yet."""

import threading

import pytest

from consumer.stream import buffer as buffers
from consumer.stream.buffer import Buffer
from consumer.stream.room import OWN_BYTES, Room
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere

LARGE = 10 * OWN_BYTES


@pytest.fixture
def room():
    return Room(LARGE)


def fill(room):
    """Return a buffer whose messages take all the room."""
    buffer = Buffer(1000, room=room)
    buffer.reserve(LARGE)
    buffer.put(["a", "b"], LARGE)
    buffer.take(10, 0)
    return buffer


def reserve_aside(buffer: Buffer, size: int) -> threading.Thread:
    thread = threading.Thread(target=buffer.reserve, args=(size,), daemon=True)
    thread.start()
    return thread


def test_a_large_response_waits_until_another_listener_has_recorded_its_changes(room):
    busy, other = fill(room), Buffer(1000, room=room)

    waiting = reserve_aside(other, LARGE)
    waiting.join(0.3)
    assert waiting.is_alive()

    busy.done(1)
    waiting.join(20)
    assert not waiting.is_alive()
    assert room.used == LARGE // 2 + LARGE


def test_a_small_response_does_not_wait(room):
    fill(room)

    Buffer(1000, room=room).reserve(OWN_BYTES)

    assert room.used == LARGE + OWN_BYTES


def test_responses_are_admitted_in_the_order_in_which_they_arrived(room):
    busy, admitted = fill(room), []
    others = [Buffer(1000, room=room) for _ in range(5)]

    def wait(number: int) -> None:
        others[number].reserve(LARGE)
        admitted.append(number)
        others[number].cancel()

    for number in range(5):
        threading.Thread(target=wait, args=(number,), daemon=True).start()
        wait_for(lambda number=number: len(room._queue) == number + 1)
    busy.done(2)

    wait_for(lambda: len(admitted) == 5)
    assert admitted == [0, 1, 2, 3, 4]
    wait_for(lambda: room.used == 0)


def test_a_listener_that_cannot_record_does_not_stop_the_others(room, monkeypatch):
    monkeypatch.setattr(buffers, "LONGEST_WAIT", 0.1)
    fill(room)

    other = Buffer(1000, room=room)
    other.reserve(LARGE)

    assert room.used == 2 * LARGE


@pytest.mark.parametrize("end", [Buffer.close, Buffer.discard])
def test_a_listener_that_ends_neither_waits_nor_keeps_its_room(room, end):
    busy, other = fill(room), Buffer(1000, room=room)
    waiting = reserve_aside(other, LARGE)
    wait_for(lambda: len(room._queue) == 1)

    end(other)
    waiting.join(20)
    assert not waiting.is_alive()
    assert room.used == LARGE

    busy.discard()
    assert room.used == 0


def test_room_for_a_response_without_messages_is_given_back(room):
    buffer = Buffer(1000, room=room)
    buffer.reserve(10)
    buffer.reserve(20)
    assert room.used == 20

    buffer.cancel()
    assert room.used == 0
    buffer.reserve(30)
    buffer.put(["a"], 30)
    buffer.done(len(buffer.take(1, 0)))
    assert room.used == 0
