"""A stream fetches schemas when they first occur, and handles those that are not available."""

from __future__ import annotations

import grpc
import pytest

from listeners.salesforce.decode import decode
from listeners.salesforce.errors import Reaction, StreamRefused, Undecodable
from listeners.salesforce.pubsub import stream as stream_module
from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire
from tests.listeners.salesforce.pubsub.scripted import Refusal, playing
from tests.listeners.salesforce.pubsub.scripted_events import batch, event, shown
from tests.listeners.salesforce.pubsub.streams import names_of, opened, polled


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(grpc.StatusCode.NOT_FOUND),
        Refusal(grpc.StatusCode.UNKNOWN, "schema.validation.failed"),
    ],
)
def test_events_of_an_unknown_schema_are_quarantined(serve, connect, refusal):
    server = serve(playing(wire.FetchResponse(events=[event(1, schema_id="gone"), event(2)])))
    server.schemas["gone"] = refusal
    lost, kept = polled(opened(connect, server), 2)

    assert names_of([kept]) == ["2"]
    with pytest.raises(Undecodable, match="gone") as flawed:
        decode(lost)
    assert flawed.value.replay_id == shown(1)


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(grpc.StatusCode.UNAVAILABLE, "schema.api.unavailable"),
        Refusal(grpc.StatusCode.NOT_FOUND, "schema.api.unavailable"),
        Refusal(grpc.StatusCode.INVALID_ARGUMENT, "subscription.internal.error"),
    ],
)
def test_a_schema_that_can_not_be_had_now_loses_no_event(serve, connect, monkeypatch, refusal):
    monkeypatch.setattr(stream_module, "MOST_A_POLL", 2)
    mixed = wire.FetchResponse(events=[event(1), event(2, schema_id="slow"), event(3)])
    server = serve(playing(mixed), playing(batch(2, 3)))
    server.schemas["slow"] = refusal
    stream = opened(connect, server)

    assert names_of(stream.poll()) == ["1"]
    with pytest.raises(StreamRefused, match="GetSchema") as refused:
        stream.poll()
    assert refused.value.reaction is Reaction.RETRY
    stream.open(shown(1))
    assert names_of(polled(stream, 2)) == ["2", "3"]


def test_a_schema_that_may_not_be_read_is_the_operators_business(serve, connect):
    server = serve(playing(wire.FetchResponse(events=[event(1, schema_id="hidden")])))
    server.schemas["hidden"] = Refusal(grpc.StatusCode.PERMISSION_DENIED, "schema.meta.permission")
    with pytest.raises(StreamRefused) as refused:
        opened(connect, server).poll()

    assert refused.value.reaction is Reaction.CONFIGURATION


def test_a_schema_is_fetched_once_for_all_streams(serve, connect):
    server = serve(playing(batch(1, 3), batch(4, 4)))
    for _ in range(2):
        assert names_of(polled(opened(connect, server), 4)) == list("1234")

    assert server.count("GetSchema") == 1
