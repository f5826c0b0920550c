"""The buffer of received messages is limited in bytes, so that large messages wait at the server
and not in the process's memory."""

import threading

import pytest

from consumer.stream.buffer import Buffer
from tests.servers import wait_for


def put_aside(buffer: Buffer, *messages: str, size: int) -> threading.Thread:
    """Put messages into the buffer in a thread, because that may have to wait."""
    thread = threading.Thread(target=buffer.put, args=(messages, size), daemon=True)
    thread.start()
    return thread


def test_a_buffer_is_full_by_bytes_before_it_is_by_messages():
    buffer = Buffer(1000, most_bytes=100)
    buffer.put(["a", "b"], 120)

    waiting = put_aside(buffer, "c", size=10)
    waiting.join(0.3)
    assert waiting.is_alive()
    assert buffer.take(10, 0) == ["a", "b"]
    waiting.join(0.3)
    assert waiting.is_alive(), "they are taken, and not recorded yet"

    buffer.done(1)
    waiting.join(20)
    assert not waiting.is_alive()
    assert buffer.outstanding == 2


def test_an_answer_larger_than_the_buffer_is_taken_whole():
    buffer = Buffer(1000, most_bytes=100)

    buffer.put(["a"], 1_000_000)

    assert buffer.take(10, 0) == ["a"]
    buffer.done(1)
    put_aside(buffer, "b", size=1).join(20)
    assert buffer.outstanding == 1


@pytest.mark.parametrize("size", [0, 7])
def test_what_is_recorded_makes_room_again_to_the_last_byte(size):
    buffer = Buffer(1000, most_bytes=100)
    for _ in range(50):
        buffer.put(["a", "b", "c"], size)
        buffer.done(len(buffer.take(10, 0)))

    wait_for(lambda: not put_aside(buffer, "d", size=0).join(20))
    assert buffer.outstanding == 1
