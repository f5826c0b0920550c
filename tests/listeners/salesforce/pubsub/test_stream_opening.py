"""Opening a stream sends the right requests, and each refusal has the right error."""

from __future__ import annotations

import socket
import threading

import grpc
import pytest

from listeners.salesforce.errors import Reaction, ReplayLost, StreamRefused, TransportFailed
from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire
from tests.listeners.salesforce.pubsub.scripted import EXPIRED, Refusal, idle
from tests.listeners.salesforce.pubsub.scripted_events import batch, replay_id, shown
from tests.listeners.salesforce.pubsub.streams import (
    CHANNEL,
    ORG,
    SECRET,
    NumberedTokens,
    opened_and_polled,
    stream_to,
)
from tests.servers import wait_for


def refusing(refusal):
    def script(call):
        call.request()
        call.refuse(refusal)
        yield

    return script


def test_every_call_says_who_asks_and_for_which_org(serve, connect):
    def script(call):
        yield batch(1, 1)
        call.until_hung_up()

    server = serve(script)
    stream = connect(server)
    stream.open("-1")
    stream.poll()

    assert [method for method, _ in server.asked] == ["GetTopic", "Subscribe", "GetSchema"]
    for _, told in server.asked:
        assert told["accesstoken"] == f"{SECRET}-1"
        assert told["instanceurl"] == "https://org.example"
        assert told["tenantid"] == ORG


@pytest.mark.parametrize(
    ("replay", "preset", "told"),
    [
        ("-1", wire.ReplayPreset.LATEST, b""),
        ("-2", wire.ReplayPreset.EARLIEST, b""),
        (shown(7), wire.ReplayPreset.CUSTOM, replay_id(7)),
        ("7", wire.ReplayPreset.CUSTOM, replay_id(7)),
        ("0xabcd", wire.ReplayPreset.CUSTOM, b"\xab\xcd"),
    ],
)
def test_the_first_request_names_the_topic_the_position_and_all_credits(
    serve, connect, replay, preset, told
):
    server = serve(idle)
    stream = connect(server)
    stream.open(replay)
    wait_for(lambda: server.calls)

    first = server.calls[0].request()
    assert first == wire.FetchRequest(
        topic_name=CHANNEL, replay_preset=preset, replay_id=told, num_requested=100
    )
    assert stream.is_open
    assert stream.has_replay
    assert stream.subscribed_at is not None


def test_a_position_that_has_no_form_here_is_lost_without_a_call(serve, connect):
    server = serve(idle)
    with pytest.raises(ReplayLost):
        connect(server).open("neither")

    assert not server.asked


def test_a_refused_token_is_replaced_once(serve, connect):
    server = serve(idle)
    answers = [EXPIRED, wire.TopicInfo(can_subscribe=True)]
    server.topic = lambda: answers.pop(0)
    tokens = NumberedTokens()
    stream = connect(server, tokens=tokens)
    stream.open("-1")
    wait_for(lambda: server.calls)

    assert tokens.invalidated == [f"{SECRET}-1"]
    assert [call.metadata["accesstoken"] for call in server.calls] == [f"{SECRET}-2"]
    assert stream.is_open


def test_a_token_that_is_refused_again_is_not_hammered_with(serve, connect):
    server = serve()
    server.topic = lambda: EXPIRED
    tokens = NumberedTokens()
    stream = connect(server, tokens=tokens)
    with pytest.raises(StreamRefused) as refused:
        stream.open("-1")

    assert refused.value.reaction is Reaction.BACK_OFF_LONG
    assert server.count("GetTopic") == 2
    assert tokens.invalidated == [f"{SECRET}-1"]
    assert not stream.is_open


def test_a_token_that_is_refused_again_by_a_slow_answer_is_not_hammered_with(serve, connect):
    is_open = threading.Semaphore(0)

    def script(call):
        call.context.send_initial_metadata(())
        assert is_open.acquire(timeout=20)
        call.refuse(EXPIRED)
        yield

    tokens = NumberedTokens()
    stream = connect(serve(script), tokens=tokens)
    for reaction in (Reaction.NEW_TOKEN, Reaction.BACK_OFF_LONG, Reaction.BACK_OFF_LONG):
        stream.open("-1")
        is_open.release()
        with pytest.raises(StreamRefused) as refused:
            stream.poll()
        assert refused.value.reaction is reaction

    assert len(tokens.invalidated) == 3


def test_a_topic_that_may_not_be_subscribed_to_is_the_operators_business(serve, connect):
    server = serve()
    server.topic = lambda: wire.TopicInfo(rpc_id="1")
    with pytest.raises(StreamRefused, match=f"may not subscribe to {CHANNEL}") as refused:
        connect(server).open("-1")

    assert refused.value.reaction is Reaction.CONFIGURATION
    assert not server.calls


def test_an_answer_without_permissions_forbids_nothing(serve, connect):
    server = serve(idle)
    server.topic = lambda: wire.TopicInfo(topic_name=CHANNEL, schema_id="1")
    stream = connect(server)
    stream.open("-1")

    assert stream.is_open


@pytest.mark.parametrize(
    ("refusal", "reaction"),
    [
        (Refusal(grpc.StatusCode.NOT_FOUND, "topic.not.found"), Reaction.CONFIGURATION),
        (Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED), Reaction.BACK_OFF_LONG),
        (Refusal(grpc.StatusCode.UNAVAILABLE, "topic.api.unavailable"), Reaction.RETRY),
    ],
)
def test_the_error_of_a_refused_topic_has_its_code(serve, connect, refusal, reaction):
    server = serve()
    server.topic = lambda: refusal
    with pytest.raises(StreamRefused, match=refusal.code or refusal.status.name) as refused:
        connect(server).open("-1")

    assert refused.value.reaction is reaction
    assert refused.value.what == "GetTopic"


def test_a_server_without_topics_is_subscribed_to_all_the_same(serve, connect):
    server = serve(idle)
    server.topic = lambda: Refusal(grpc.StatusCode.UNIMPLEMENTED)
    stream = connect(server)
    stream.open("-1")

    assert stream.is_open


def test_a_refused_position_is_raised_at_once(serve, connect):
    lost = Refusal(
        grpc.StatusCode.INVALID_ARGUMENT, "subscription.fetch.replayid.validation.failed"
    )
    stream = connect(serve(refusing(lost)))
    with pytest.raises(ReplayLost):
        opened_and_polled(stream, shown(3))

    assert not stream.is_open
    assert not stream.has_result_ready


def test_a_login_without_an_org_id_is_a_configuration_error(serve, connect):
    server = serve(idle)
    stream = connect(server, tokens=NumberedTokens(org_id=None))
    with pytest.raises(StreamRefused, match="did not return the org's ID") as refused:
        stream.open("-1")

    assert refused.value.reaction is Reaction.CONFIGURATION
    assert not server.asked


def test_an_endpoint_without_a_server_is_a_failed_transport():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    stream = stream_to(f"http://127.0.0.1:{port}")
    with pytest.raises(TransportFailed) as failed:
        stream.open("-1")
    stream.close()

    assert SECRET not in repr(failed.value)
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__


def test_a_server_that_takes_connections_and_is_silent_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        stream = stream_to(endpoint, connection_timeout=0.3)
        with pytest.raises(TransportFailed, match=r"DEADLINE_EXCEEDED: no answer within"):
            stream.open("-1")
        stream.close()


def test_a_server_that_repeats_the_token_does_not_make_it_known(serve, connect):
    echo = Refusal(grpc.StatusCode.INTERNAL, details=f"no session {SECRET}-1 here")
    with pytest.raises(TransportFailed, match=r"no session \.\.\. here"):
        opened_and_polled(connect(serve(refusing(echo))), "-1")


@pytest.mark.parametrize("endpoint", ["ftp://host:1", "", "host:port", "http://a:b@host:1"])
def test_an_invalid_endpoint_is_a_configuration_error(endpoint):
    with pytest.raises(StreamRefused, match="endpoint") as refused:
        stream_to(endpoint).open("-1")

    assert refused.value.reaction is Reaction.CONFIGURATION
