"""A message counts as outstanding from its receipt until it is recorded."""

from consumer.stream.buffer import Buffer
from tests.at_once import in_threads
from tests.sample_data import change, received


def test_a_message_stays_outstanding_after_it_was_taken():
    buffer = Buffer(10)
    buffer.put(received(change(), change(), change()))

    assert len(buffer.take(2, 0)) == 2
    assert buffer.outstanding == 3

    buffer.done(2)
    assert buffer.outstanding == 1


def test_waiting_for_the_recording_ends_when_the_last_message_is_recorded():
    buffer = Buffer(10)
    buffer.put(received(change(), change()))
    buffer.take(2, 0)
    outstanding_at_the_end = []

    def wait():
        buffer.wait_until_recorded()
        outstanding_at_the_end.append(buffer.outstanding)

    [waiting] = in_threads(wait)
    buffer.done(1)
    buffer.done(1)
    waiting.result(20)

    assert outstanding_at_the_end == [0]


def test_a_full_buffer_takes_no_more_until_something_is_recorded():
    buffer = Buffer(2)
    buffer.put(received(change(), change()))
    buffer.take(2, 0)
    outstanding_before = []

    def put():
        buffer.put(received(change()))
        outstanding_before.append(buffer.outstanding - 1)

    [putting] = in_threads(put)
    buffer.done(1)
    putting.result(20)

    assert outstanding_before == [1]


def test_a_closed_buffer_lets_everybody_go():
    buffer = Buffer(1)
    buffer.put(received(change()))
    waiting = in_threads(buffer.wait_until_recorded, lambda: buffer.put(received(change())))

    buffer.close()
    for one in waiting:
        one.result(20)

    assert buffer.outstanding == 1
    assert len(buffer.take(10, 0)) == 1
    assert buffer.take(10, 0) == []
