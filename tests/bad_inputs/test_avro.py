"""Malformed payloads, bitmaps and schemas become events or are undecodable; nothing else fails."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listeners.salesforce.decode import decode
from listeners.salesforce.errors import Undecodable
from listeners.salesforce.events import ChangeEvent
from listeners.salesforce.pubsub.schemas import Schema, parse_schema
from listeners.salesforce.pubsub.to_cometd import message_of
from tests.listeners.salesforce.pubsub.avro_events import (
    CHANNEL,
    HEADER,
    THING,
    consumed,
    header,
    message,
    optional,
    payload,
    record,
    schema_of,
)

pytestmark = pytest.mark.anywhere

REPLAY_ID = "0x0000000000a748390000"
SCHEMA = schema_of(THING)
GOOD = payload(
    {
        "ChangeEventHeader": header(changedFields=["0x46", "3-0x05"], recordIds=["001A", "001B"]),
        "Name": {"FirstName": "Zoë", "LastName": None},
        "Billing": {"Street": "1 Market St", "City": None, "Lat": 37.79},
        "LastModifiedDate": 1714417112000,
    }
)


def outcome(sent: Any) -> list[ChangeEvent] | Undecodable:
    try:
        return decode(sent)
    except Undecodable as flaw:
        return flaw


def comes_out_well(given_payload: bytes, schema: Schema = SCHEMA) -> None:
    sent = message_of(CHANNEL, consumed(given_payload), schema)
    kept = json.loads(json.dumps(sent))
    match outcome(sent):
        case Undecodable() as flaw:
            assert flaw.reason
            assert flaw.replay_id == REPLAY_ID
            assert flaw.raw.isascii()
            assert isinstance(outcome(json.loads(flaw.raw)), Undecodable)
        case events:
            assert events == decode(kept)
            assert {event.replay_id for event in events} == {REPLAY_ID}
            assert all(json.dumps(event.changed_data, allow_nan=False) for event in events)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder(anything: bytes) -> None:
    comes_out_well(anything)


@settings(max_examples=500, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.binary(max_size=10), st.integers(0, 10))
def test_no_spoilt_payload_breaks_the_decoder(place: int, put: bytes, out: int) -> None:
    comes_out_well(GOOD[:place] + put + GOOD[place + out :])


elements = st.text(max_size=12) | st.from_regex(r"([0-9]{1,3}-)?0x[0-9a-fA-F]{0,4}", fullmatch=True)


@settings(deadline=None)
@given(st.lists(elements, max_size=4), st.sampled_from(["changed", "nulled", "diff"]))
def test_no_bitmap_breaks_the_decoder(bitmaps: list[str], which: str) -> None:
    match outcome(message({"Phone": "1"}, **{f"{which}Fields": bitmaps})):
        case Undecodable() as flaw:
            assert f"ChangeEventHeader.{which}Fields: " in flaw.reason
            assert flaw.replay_id == REPLAY_ID
        case events:
            assert events[0].changed_data["Phone"] in ("1", {"diff": "1"})


names = st.sampled_from(["A", "B", "X", "null", "string", "long", "record", "array", "", "a b"])
schemas = st.recursive(
    names | st.none() | st.integers(-1, 3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.fixed_dictionaries(
            {"type": st.sampled_from(["record", "error"]), "name": names},
            optional={"fields": st.lists(st.fixed_dictionaries({"name": names, "type": inner}))},
        )
        | st.fixed_dictionaries(
            {"type": st.sampled_from(["array", "map", "fixed", "enum", "long"]) | inner},
            optional={
                "name": names,
                "items": inner,
                "values": inner,
                "size": inner,
                "symbols": inner,
                "logicalType": st.sampled_from(["date", "decimal", "timestamp-millis"]),
            },
        )
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(schemas, st.booleans(), st.binary(max_size=30))
def test_no_schema_breaks_the_decoder(anything: Any, as_field: bool, rest: bytes) -> None:
    head = {"name": "ChangeEventHeader", "type": HEADER}
    definition = record("Top", head, {"name": "F", "type": anything}) if as_field else anything
    start = payload({"ChangeEventHeader": header()}, record("Top", head))

    comes_out_well(start + rest, parse_schema("s-1", json.dumps(definition)))


HUGE = b"\x80\x80\x80\x80\x80\x80\x80\x80\x40"  # a zig-zag 2**61
LEAST = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # and -2**63


@pytest.mark.parametrize("count", [HUGE, LEAST, LEAST + HUGE])
@pytest.mark.parametrize(
    "items", ["string", ["null", "string"], record("Item", optional("A", "string")), "double"]
)
def test_a_count_or_a_length_beyond_the_payload_takes_no_memory(count: bytes, items: Any) -> None:
    array = {"name": "Values", "type": {"type": "array", "items": items}}
    schema = schema_of(record("X", array))
    tracemalloc.start()
    try:
        for given_payload in (count, count + bytes(50), b"\x02" + count + bytes(50)):
            comes_out_well(given_payload, schema)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_a_payload_that_nests_as_deeply_as_it_says_is_not_read() -> None:
    holds_itself = record("X", optional("A", "X"))

    comes_out_well(b"\x02" * 1_000_000 + b"\0", parse_schema("s-1", json.dumps(holds_itself)))
