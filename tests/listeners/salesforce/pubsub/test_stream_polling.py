"""A stream returns events in order and keep-alives, and ends with its failure."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import grpc
import pytest

from listeners.salesforce.decode import decode
from listeners.salesforce.errors import (
    Reaction,
    StreamRefused,
    TransportFailed,
    Undecodable,
)
from listeners.salesforce.pubsub import stream as stream_module
from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire
from tests.listeners.salesforce.pubsub.scripted import EXPIRED, Refusal, idle, playing
from tests.listeners.salesforce.pubsub.scripted_events import batch, event, keep_alive, shown
from tests.listeners.salesforce.pubsub.streams import (
    SECRET,
    NumberedTokens,
    names_of,
    opened,
    opened_and_polled,
    polled,
)
from tests.servers import wait_for

pytestmark = pytest.mark.slow


def test_events_come_in_order_as_the_streaming_api_would_have_sent_them(serve, connect):
    stream = opened(connect, serve(playing(batch(1, 3), batch(4, 5))))
    events = [change for message in polled(stream, 5) for change in decode(message)]

    assert [change.replay_id for change in events] == [shown(n) for n in range(1, 6)]
    assert [change.changed_data["Name"] for change in events] == list("12345")
    assert events[0].event_uuid == "event-1"


def test_a_poll_returns_a_bounded_number(serve, connect, monkeypatch):
    monkeypatch.setattr(stream_module, "MOST_A_POLL", 4)
    stream = opened(connect, serve(playing(batch(1, 10))))
    sizes = [len(stream.poll()) for _ in range(3)]

    assert sizes == [4, 4, 2]


def test_a_keep_alive_names_the_position_until_which_there_was_nothing(serve, connect):
    def script(call):
        yield keep_alive(41)
        call.request()
        assert told.wait(20)
        yield batch(42, 42)
        call.until_hung_up()

    told = threading.Event()
    stream = opened(connect, serve(script))
    assert stream.poll() == []
    assert stream.newest == shown(41)
    told.set()
    assert names_of(stream.poll()) == ["42"]
    assert stream.newest is None


def test_a_keep_alive_without_credits_does_not_mean_that_there_is_nothing(serve, connect):
    stream = opened(connect, serve(playing(batch(1, 100), keep_alive(141, pending=0))))
    polled(stream, 100)
    assert stream.poll() == []
    assert stream.newest is None


def test_a_keep_alive_that_does_not_count_credits_is_believed_while_there_are_some(serve, connect):
    stream = opened(connect, serve(playing(batch(1, 99), keep_alive(141, pending=0))))
    polled(stream, 99)
    assert stream.poll() == []
    assert stream.newest == shown(141)


def test_a_keep_alive_never_overtakes_events_that_wait(serve, connect):
    stream = opened(connect, serve(playing(batch(1, 2), keep_alive(9))))
    wait_for(lambda: stream.has_result_ready)

    assert names_of(stream.poll()) == ["1", "2"]
    assert stream.newest is None
    assert stream.poll() == []
    assert stream.newest == shown(9)


def test_a_keep_alive_that_events_have_overtaken_is_forgotten(serve, connect):
    stream = opened(connect, serve(playing(keep_alive(1), batch(2, 3))))
    inbox = stream._current.subscription.inbox
    wait_for(lambda: inbox.fullness)

    assert names_of(polled(stream, 2)) == ["2", "3"]
    assert not stream.has_result_ready


def test_what_came_before_a_failure_comes_before_it(serve, connect):
    server = serve(playing(batch(1, 2), then=EXPIRED))
    tokens = NumberedTokens()
    stream = opened(connect, server, tokens=tokens)

    assert names_of(stream.poll()) == ["1", "2"]
    with pytest.raises(StreamRefused) as refused:
        stream.poll()
    assert refused.value.reaction is Reaction.NEW_TOKEN
    assert tokens.invalidated == [f"{SECRET}-1"]
    assert not stream.is_open
    with pytest.raises(StreamRefused) as refused:
        stream.poll()
    assert refused.value.reaction is Reaction.REHANDSHAKE


def test_a_failed_stream_has_news_until_the_failure_is_raised(serve, connect):
    stream = opened(connect, serve(playing(batch(1, 1), then=EXPIRED)))
    wait_for(lambda: not stream.is_open)

    assert stream.has_result_ready
    stream.poll()
    assert stream.has_result_ready
    with pytest.raises(StreamRefused):
        stream.poll()
    assert not stream.has_result_ready


def test_a_stream_that_the_server_ends_is_opened_again(serve, connect):
    def ends(call):
        yield batch(1, 1)

    stream = opened(connect, serve(ends, idle))
    stream.poll()
    with pytest.raises(StreamRefused, match="the server ended the stream") as ended:
        stream.poll()
    assert ended.value.reaction is Reaction.REHANDSHAKE
    stream.open(shown(1))
    assert stream.is_open


def test_a_stream_that_breaks_off_is_no_answer(serve, connect):
    stream = opened(connect, serve(playing(batch(1, 1), then=Refusal(grpc.StatusCode.UNAVAILABLE))))
    stream.poll()
    with pytest.raises(TransportFailed, match="UNAVAILABLE") as failed:
        stream.poll()

    assert not failed.value.is_silence


def test_an_event_that_can_not_be_read_spoils_no_other(serve, connect):
    bad = wire.FetchResponse(events=[event(1), event(2, payload=b"\xff"), event(3)])
    first, second, third = polled(opened(connect, serve(playing(bad))), 3)

    assert names_of([first, third]) == ["1", "3"]
    with pytest.raises(Undecodable) as flawed:
        decode(second)
    assert flawed.value.replay_id == shown(2)


def test_the_servers_clock_is_known_if_it_sends_it(serve, connect):
    def script(call):
        call.context.send_initial_metadata((("date", "Wed, 25 Nov 2026 20:00:00 GMT"),))
        yield batch(1, 1)
        call.until_hung_up()

    stream = opened(connect, serve(script))
    stream.poll()

    assert stream.server_time == datetime(2026, 11, 25, 20, tzinfo=UTC)
    assert opened(connect, serve(idle)).server_time is None


def test_a_silent_stream_continues_while_its_peer_answers(serve, connect):
    def script(call):
        call.context.send_initial_metadata(())
        assert heard.wait(20)
        yield batch(1, 1)
        call.until_hung_up()

    heard = threading.Event()
    server = serve(script)
    stream = opened(connect, server, keep_alive_interval=0.05)
    server.topic = lambda: EXPIRED  # an answer, and be it a refusal
    wait_for(lambda: server.count("GetTopic") >= 4)
    assert stream.is_open
    heard.set()

    assert names_of(stream.poll()) == ["1"]


def test_a_silent_stream_ends_when_its_peer_does_not_answer(serve, connect):
    asked = threading.Event()
    server = serve(idle)
    stream = opened(connect, server, keep_alive_interval=0.1)
    stream._current.subscription.calls._timeout = 1
    server.topic = lambda: asked.wait(20) and wire.TopicInfo()
    with pytest.raises(TransportFailed, match="the server does not answer") as failed:
        stream.poll()
    asked.set()

    assert failed.value.is_silence


def test_a_stream_that_is_silent_for_too_long_ends_even_if_its_peer_answers(serve, connect):
    stream = connect(serve(idle), session_timeout=0.4, keep_alive_interval=0.1)
    with pytest.raises(TransportFailed, match="no message") as failed:
        opened_and_polled(stream, "-1")  # on a busy machine, it ends while it opens

    assert failed.value.is_silence
