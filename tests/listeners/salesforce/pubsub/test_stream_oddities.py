"""Faults of the network and of proxies, below gRPC, end a stream with the right error."""

from __future__ import annotations

import struct

import grpc
import pytest
from h2.errors import ErrorCodes

from listeners.salesforce.errors import Reaction, ReplayLost, StreamRefused, TransportFailed
from listeners.salesforce.pubsub import schema_source
from listeners.salesforce.pubsub.schemas import parse_schema
from tests.line import Line
from tests.listeners.salesforce.pubsub.odd_server import OddServer, of_http
from tests.listeners.salesforce.pubsub.scripted import PREFIX, Refusal
from tests.listeners.salesforce.pubsub.scripted_events import (
    SCHEMA_ID,
    SCHEMA_JSON,
    batch,
    shown,
)
from tests.listeners.salesforce.pubsub.streams import (
    ORG,
    names_of,
    opened_and_polled,
    polled,
    stream_to,
)

pytestmark = pytest.mark.slow


def reset_without_an_error(wire, stream):
    wire.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
    wire.reset_stream(stream, ErrorCodes.NO_ERROR)


def refused_stream(wire, stream):
    wire.reset_stream(stream, ErrorCodes.REFUSED_STREAM)


def going_away(wire, stream):
    wire.close_connection(ErrorCodes.NO_ERROR)


def nothing(wire, stream):
    pass


@pytest.mark.parametrize(
    ("misbehaviour", "hangs_up"),
    [
        (reset_without_an_error, False),
        (refused_stream, False),
        (going_away, True),
        (nothing, True),
        (of_http(503), False),
        (of_http(420), False),
        (of_http(406), False),
    ],
)
def test_what_is_routine_is_tried_again(misbehaviour, hangs_up):
    with OddServer(misbehaviour, hangs_up=hangs_up) as server:
        stream = stream_to(server.endpoint)
        with pytest.raises(TransportFailed) as failed:
            opened_and_polled(stream, "-1")
        stream.close()

    assert failed.value.reaction is Reaction.RETRY
    assert not failed.value.is_silence


@pytest.mark.parametrize(
    ("status", "reaction"), [(403, Reaction.BACK_OFF_LONG), (404, Reaction.CONFIGURATION)]
)
def test_a_web_server_in_place_of_the_api_is_judged_by_its_status(status, reaction):
    with OddServer(of_http(status)) as server:
        stream = stream_to(server.endpoint)
        with pytest.raises(StreamRefused, match=str(status)) as refused:
            opened_and_polled(stream, "-1")
        stream.close()

    assert refused.value.reaction is reaction


def two_answers_and_a_refusal(wire, stream):
    """The client grants credits for the first answer while it has not read the second."""
    wire.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
    for first in (1, 21):
        answer = batch(first, first + 19).SerializeToString()
        wire.send_data(stream, struct.pack(">?I", False, len(answer)) + answer)
    code = PREFIX + "subscription.fetch.replayid.corrupted"
    wire.send_headers(stream, [("grpc-status", "3"), ("error-code", code)], end_stream=True)


def test_a_refusal_is_not_lost_when_a_request_is_sent_at_that_moment():
    schema_source.SCHEMAS.put(ORG, SCHEMA_ID, parse_schema(SCHEMA_ID, SCHEMA_JSON))
    with OddServer(two_answers_and_a_refusal) as server:
        stream = stream_to(server.endpoint)
        stream.open("-1")
        assert len(polled(stream, 40)) == 40
        with pytest.raises(ReplayLost):
            stream.poll()
        stream.close()


def refusing(number, refusal):
    """Return a script that sends that event and then refuses."""

    def script(call):
        yield batch(number, number)
        call.refuse(refusal)

    return script


def test_a_stream_that_worked_is_not_given_up_for_a_word_that_is_not_of_salesforce(serve, connect):
    server = serve(
        refusing(1, Refusal(grpc.StatusCode.UNIMPLEMENTED)),
        refusing(2, Refusal(grpc.StatusCode.NOT_FOUND, "topic.not.found")),
    )
    stream = connect(server)
    for reaction in (Reaction.REHANDSHAKE, Reaction.CONFIGURATION):
        stream.open("-1")
        stream.poll()
        with pytest.raises(StreamRefused) as refused:
            stream.poll()
        assert refused.value.reaction is reaction


def test_a_dead_peer_behind_an_open_connection_is_detected(serve):
    def script(call):
        yield batch(1, 1)
        call.until_hung_up()

    server = serve(script)
    with Line(server.port) as line:
        stream = stream_to(f"http://127.0.0.1:{line.port}", keep_alive_interval=0.3)
        stream.open("-1")
        assert names_of(stream.poll()) == ["1"]
        line.freeze()
        stream._current.subscription.calls._timeout = 1
        with pytest.raises(TransportFailed) as failed:
            stream.poll()
        assert failed.value.is_silence

        # And it is a new connection that is opened, not the dead one again.
        line.restore()
        stream.open(shown(1))
        assert stream.is_open
        stream.close()
