"""However a stream ends, it leaves no resources behind and no thread waiting."""

from __future__ import annotations

import asyncio
import gc
import threading

import grpc
import pytest

from listeners.salesforce.errors import (
    SalesforceError,
    StreamClosed,
    StreamRefused,
    TransportFailed,
)
from listeners.salesforce.pubsub.event_loop import LOOP
from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire
from tests.listeners.salesforce.pubsub.scripted import Refusal, idle
from tests.listeners.salesforce.pubsub.scripted_events import batch, shown
from tests.listeners.salesforce.pubsub.streams import names_of
from tests.servers import wait_for

pytestmark = pytest.mark.slow


def in_another_thread(work):
    """Start the work in a thread; the returned list gets its error."""
    raised = []

    def run():
        try:
            work()
        except SalesforceError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


async def itself():
    return asyncio.get_running_loop()


def test_closing_wakes_a_poll_that_waits(serve, connect):
    server = serve(idle)
    stream = connect(server)
    stream.open("-1")
    wait_for(lambda: server.calls)
    thread, raised = in_another_thread(stream.poll)
    stream.close()
    thread.join(20)

    assert [type(error) for error in raised] == [StreamClosed]
    assert server.calls[0].ended.wait(20)
    assert not stream.is_open
    with pytest.raises(StreamClosed):
        stream.poll()
    with pytest.raises(StreamClosed):
        stream.open("-1")
    stream.close()


def test_what_came_before_it_was_left_is_still_polled(serve, connect):
    def script(call):
        yield batch(1, 3)
        call.until_hung_up()

    server = serve(script)
    stream = connect(server)
    stream.open("-1")
    wait_for(lambda: stream.has_result_ready)
    stream.leave()

    assert names_of(stream.poll()) == ["1", "2", "3"]
    with pytest.raises(StreamClosed):
        stream.poll()
    assert not server.calls[0].ended.is_set()
    stream.close()
    assert server.calls[0].ended.wait(20)


def test_closing_ends_an_opening_that_waits(serve, connect):
    asked, answer = threading.Event(), threading.Event()

    def held():
        asked.set()
        answer.wait(20)
        return wire.TopicInfo(can_subscribe=True)

    server = serve(idle)
    server.topic = held
    stream = connect(server)
    thread, raised = in_another_thread(lambda: stream.open("-1"))
    assert asked.wait(20)
    stream.leave()  # nothing came yet: it is closed
    thread.join(20)
    answer.set()

    assert [type(error) for error in raised] == [StreamClosed]
    assert not server.calls


def test_closing_ends_a_poll_that_waits_for_a_schema(serve, connect):
    asked, answer = threading.Event(), threading.Event()

    class Held(Refusal):
        def end(self, context):
            asked.set()
            answer.wait(20)
            super().end(context)

    def script(call):
        yield batch(1, 1)
        call.until_hung_up()

    server = serve(script)
    server.schemas["small-1"] = Held(grpc.StatusCode.UNAVAILABLE)
    stream = connect(server)
    stream.open("-1")
    thread, raised = in_another_thread(stream.poll)
    assert asked.wait(20)
    stream.close()
    thread.join(20)
    answer.set()

    assert [type(error) for error in raised] == [StreamClosed]


def test_a_forgotten_stream_is_opened_again(serve, connect):
    server = serve(idle)
    stream = connect(server)
    stream.open("-1")
    wait_for(lambda: server.calls)
    stream.forget()

    assert not stream.is_open
    assert server.calls[0].ended.wait(20)
    with pytest.raises(StreamRefused):
        stream.poll()
    stream.open(shown(1))
    assert stream.is_open


def pollers():
    """Return the number of gRPC's own threads, which end with the last object of its asyncio
    API."""
    gc.collect()
    return sum("poll_wrapper" in thread.name for thread in threading.enumerate())


def test_opening_and_closing_leave_nothing_but_a_loop_with_nothing_to_do(serve, connect):
    def script(call):
        yield batch(1, 2)
        call.refuse(Refusal(grpc.StatusCode.UNAVAILABLE))

    server = serve(script)
    gc.collect()  # what other tests in this process left
    before, pollers_before = threading.active_count(), pollers()
    streams = [connect(server) for _ in range(4)]
    for _ in range(3):
        for stream in streams:
            stream.open("-1")
            stream.poll()
            with pytest.raises(TransportFailed):
                stream.poll()
    for stream in streams:
        stream.open("-1")
        stream.close()

    assert [thread.name for thread in threading.enumerate()].count("pubsub") == 1
    wait_for(lambda: not asyncio.all_tasks(LOOP.submit(itself()).result()), what="an idle loop")
    wait_for(lambda: pollers() <= pollers_before, what="the end of gRPC's own thread")
    wait_for(lambda: threading.active_count() <= before + 16)  # those of the server


def test_streams_share_a_thread_and_no_connection(serve, connect):
    server = serve(idle)
    for _ in range(5):
        connect(server).open("-1")
    names = [thread.name for thread in threading.enumerate()]
    wait_for(lambda: len(server.calls) == 5)

    assert len({call.context.peer() for call in server.calls}) == 5

    assert names.count("pubsub") == 1
    wait_for(lambda: pollers() == 1, what="the end of other tests' threads")
