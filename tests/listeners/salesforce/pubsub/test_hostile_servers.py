"""The size of a server's schemas and events is checked before they are decoded."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from listeners.salesforce.decode import decode
from listeners.salesforce.errors import AnswerTooLarge, Reaction, Undecodable
from listeners.salesforce.pubsub.schema_source import SchemaCache
from listeners.salesforce.pubsub.schemas import Schema, parse_schema
from listeners.salesforce.pubsub.to_cometd import message_of
from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire
from tests.listeners.salesforce.pubsub.avro_events import (
    ADDRESS,
    CHANNEL,
    HEADER,
    consumed,
    header,
    optional,
    payload,
    record,
    schema_of,
)
from tests.listeners.salesforce.pubsub.scripted import playing
from tests.listeners.salesforce.pubsub.scripted_events import batch, event
from tests.listeners.salesforce.pubsub.streams import names_of, opened, polled

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
THE_HEADER = {"name": "ChangeEventHeader", "type": HEADER}


def flaw_of(given_payload: bytes, schema: Schema) -> str:
    with pytest.raises(Undecodable) as flawed:
        decode(message_of(CHANNEL, consumed(given_payload), schema))
    return flawed.value.reason


def test_a_message_over_the_limit_names_the_host_and_the_limit(serve, connect):
    large = wire.FetchResponse(events=[event(1, payload=bytes(17 * MIB))])
    server = serve(playing(large))

    with pytest.raises(AnswerTooLarge) as raised:
        polled(opened(connect, server), 1)

    said = f"127.0.0.1:{server.port} answered Subscribe with more than 16 MiB"
    assert said in str(raised.value)
    assert "the limit for a Pub/Sub message" in str(raised.value)
    assert raised.value.reaction is Reaction.BACK_OFF_LONG


def test_a_message_that_is_small_on_the_wire_alone_is_over_the_limit_too(serve, connect):
    def packed(call: Any) -> Any:
        call.context.set_compression(grpc.Compression.Gzip)
        yield wire.FetchResponse(events=[event(1, payload=bytes(300 * MIB))])
        call.until_hung_up()

    with pytest.raises(AnswerTooLarge, match="more than 16 MiB"):
        polled(opened(connect, serve(packed)), 1)


def test_a_batch_of_the_size_that_salesforce_sends_is_taken(serve, connect):
    server = serve(playing(batch(1, 8, name="x" * 500_000)))

    assert names_of(polled(opened(connect, server), 8)) == ["x" * 500_000] * 8


def test_a_payload_over_the_limit_is_set_aside():
    definition = record("X", THE_HEADER, optional("F", "string"))
    written = payload({"ChangeEventHeader": header(), "F": "x" * 2 * MIB}, definition)

    assert "more than 2 MiB, the limit for an event" in flaw_of(written, schema_of(definition))


def test_a_payload_of_many_records_in_a_list_is_set_aside():
    definition = record("X", THE_HEADER, optional("F", {"type": "array", "items": ADDRESS}))
    few: Any = {"ChangeEventHeader": header(), "F": [{"Street": None}] * 900}
    many: Any = {"ChangeEventHeader": header(), "F": [{"Street": None}] * 100_000}
    schema = schema_of(definition)

    assert decode(message_of(CHANNEL, consumed(payload(few, definition)), schema))
    assert "more than 1,000 lists and records" in flaw_of(payload(many, definition), schema)


@pytest.mark.timeout(300)
def test_a_schema_whose_types_multiply_is_read_in_linear_time():
    """Each record has six fields of the one before it, so that spelling it out would give 6**16."""
    chain = record("R0", optional("a", "string"))
    for number in range(1, 17):
        before = f"R{number - 1}"
        others = (optional(name, before) for name in "bcdef")
        chain = record(f"R{number}", optional("a", chain), *others)
    definition = record("X", THE_HEADER, optional("F", chain))
    written = payload({"ChangeEventHeader": header(), "F": None}, definition)

    schema = schema_of(definition)

    assert schema.flaw is None
    assert decode(message_of(CHANNEL, consumed(written), schema))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (json.dumps(["x" * 5 * MIB]), "more than 4 MiB"),
        ("[" + "[]," * MIB + "[]]", "more than 200,000 JSON values"),
    ],
)
def test_a_schema_over_the_limit_makes_its_events_undecodable(text: str, why: str):
    schema = parse_schema("s-1", text)

    assert f"schema s-1 cannot be used: it has {why}, the limit for a schema" == schema.flaw


def test_schemas_are_forgotten_by_their_size_too():
    cache = SchemaCache(most=100, most_characters=1000)
    for number in range(3):
        cache.put("org", str(number), Schema(str(number), "x" * 400))

    assert [cache.get("org", str(number)) is not None for number in range(3)] == [False, True, True]
    cache.put("org", "3", Schema("3", "x" * 5000))
    assert cache.get("org", "3") is not None
    assert cache.get("org", "2") is None
