"""A quiet listener does not keep the changes that it recorded last: those of many listeners would
add up."""

import weakref
from typing import Any

import pytest

from consumer.stream.buffer import Buffer
from consumer.stream.publisher import Publisher
from consumer.stream.recorder import Recorder
from tests.sample_data import change, lease_of, received
from tests.servers import wait_for


class Watched(dict[str, Any]):
    """A message that can be referenced weakly."""


@pytest.mark.django_db(transaction=True)
def test_a_recorded_message_is_dropped_while_the_listener_waits_for_the_next(listener):
    buffer = Buffer(10)
    recorder = Recorder(listener, lease_of(listener), buffer, Publisher())
    recorder.thread.start()
    message = Watched(change())
    kept = weakref.ref(message)

    buffer.put(received(message))
    del message

    try:
        wait_for(lambda: recorder.recorded == 1 and kept() is None)
        assert recorder.thread.is_alive()
    finally:
        buffer.close()
        recorder.thread.join(20)
