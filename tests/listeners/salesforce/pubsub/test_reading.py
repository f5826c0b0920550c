"""The fast payload reader gives the same values as fastavro, or leaves the payload to it."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from listeners.salesforce.pubsub.payload_reader import Unread
from listeners.salesforce.pubsub.schemas import PayloadFlaw, Schema, parse_schema
from listeners.salesforce.pubsub.values import whole_of
from tests.listeners.salesforce.pubsub.avro_events import (
    ADDRESS,
    HEADER,
    NAME,
    header,
    optional,
    payload,
    record,
    schema_of,
)
from tests.listeners.salesforce.pubsub.test_samples import captured, text

COLOURS = ["red", "green", "blue"]
LATER = HEADER | {"fields": [*HEADER["fields"], optional("later", "double", "boolean")]}
WIDE = record(
    "WideChangeEvent",
    {"name": "ChangeEventHeader", "type": LATER},
    optional("Name", "string", NAME),
    optional("Billing", ADDRESS),
    optional("Shipping", "Address"),
    optional("Within", record("Outer", optional("Inner", "PersonName"), optional("N", "int"))),
    optional("At", "long", doc="Data:DateTime"),
    optional("Day", "long", doc="Data:DateOnly"),
    optional("DayByNumber", "int", doc="Data:DateOnly"),
    optional("Time", "long", doc="Data:TimeOnly"),
    optional("Amount", "double"),
    optional("Share", "float"),
    optional("Is", "boolean"),
    optional("Either", "boolean", "long", "string", doc="Data:DateTime"),
    optional("Colour", {"type": "enum", "name": "Colour", "symbols": COLOURS}),
    optional("Tags", {"type": "array", "items": "string"}),
    {"name": "Always", "type": "string"},
    {"name": "AlwaysAnAddress", "type": "Address"},
)

TEXTS = st.text(max_size=4) | st.text(min_size=60, max_size=70)
LONGS = st.integers(-(2**62), 2**62 - 1) | st.integers(-100, 10**13)
INTS = st.integers(-(2**31), 2**31 - 1)
LISTS = st.lists(TEXTS, max_size=3)
ADDRESSES = st.fixed_dictionaries(
    {}, optional={"Street": TEXTS, "City": TEXTS, "Lat": st.floats(allow_nan=False)}
)
PERSONS = st.fixed_dictionaries({}, optional={"FirstName": TEXTS, "LastName": TEXTS})
HEADERS = st.builds(
    header,
    recordIds=LISTS,
    changeOrigin=TEXTS,
    sequenceNumber=INTS,
    commitNumber=LONGS,
    changedFields=LISTS,
    later=st.none() | st.floats(allow_nan=False) | st.booleans(),
)
RECORDS = st.fixed_dictionaries(
    {"ChangeEventHeader": HEADERS, "Always": TEXTS, "AlwaysAnAddress": ADDRESSES},
    optional={
        "Name": TEXTS | PERSONS,
        "Billing": ADDRESSES,
        "Shipping": ADDRESSES,
        "Within": st.fixed_dictionaries({}, optional={"Inner": PERSONS, "N": INTS}),
        "At": LONGS,
        "Day": LONGS,
        "DayByNumber": INTS,
        "Time": LONGS,
        "Amount": st.floats(),
        "Share": st.floats(width=32),
        "Is": st.booleans(),
        "Either": st.booleans() | LONGS | TEXTS,
        "Colour": st.sampled_from(COLOURS),
        "Tags": LISTS,
    },
)
SCHEMA = schema_of(WIDE)


def in_one_go(schema: Schema, given: bytes) -> Any:
    assert schema.fast_read is not None
    return schema.fast_read(given)


def with_fastavro(schema: Schema, given: bytes) -> Any:
    return whole_of(schema.record(given), schema.fields)


def outcome(read: Any) -> str:
    """Return the result as text, which keeps the order and makes NaN equal to itself."""
    try:
        return repr(read())
    except PayloadFlaw as flaw:
        return f"flaw: {flaw}"


@given(RECORDS)
def test_any_record_is_read_as_fastavro_reads_it(values: dict[str, Any]) -> None:
    written = payload(values, WIDE)

    assert repr(in_one_go(SCHEMA, written)) == repr(with_fastavro(SCHEMA, written))


@given(RECORDS, st.data())
def test_what_is_no_record_has_the_flaw_that_fastavro_finds(
    values: dict[str, Any], data: st.DataObject
) -> None:
    written = payload(values, WIDE)
    start = data.draw(st.integers(0, len(written)))
    end = data.draw(st.integers(start, min(len(written), start + 3)))
    spoilt = written[:start] + data.draw(st.binary(max_size=3)) + written[end:]

    found = outcome(lambda: SCHEMA.read(spoilt))

    assert found == outcome(lambda: with_fastavro(SCHEMA, spoilt))


def test_the_events_of_a_real_org_are_read_in_one_go() -> None:
    schema = parse_schema("s", text("AccountChangeEvent.c126ffd.avsc"))

    for event in captured():
        written = event.event.payload
        assert repr(in_one_go(schema, written)) == repr(with_fastavro(schema, written))


@pytest.mark.parametrize("name", ["AccountChangeEvent.avsc", "ContactChangeEvent.avsc"])
def test_real_schemas_are_of_the_sort_that_is_read_in_one_go(name: str) -> None:
    assert parse_schema("s", text(name)).fast_read is not None


@pytest.mark.parametrize("number", [-(2**63), -(2**62) - 1, 2**62, 2**63 - 1])
def test_the_largest_numbers_are_read_all_the_same(number: int) -> None:
    values = {"ChangeEventHeader": header(commitNumber=number), "Always": "", "AlwaysAnAddress": {}}

    assert SCHEMA.read(payload(values, WIDE))["ChangeEventHeader"]["commitNumber"] == number


def test_a_number_that_does_not_end_is_left_to_fastavro() -> None:
    with pytest.raises(Unread):
        in_one_go(SCHEMA, b"\xff" * 1_000_000)


THE_HEADER = {"name": "ChangeEventHeader", "type": HEADER}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (optional("F", "bytes"), b"x"),
        (optional("F", {"type": "map", "values": "string"}), {}),
        (optional("F", {"type": "array", "items": ADDRESS}), [{"Street": "1", "City": None}]),
        (optional("F", {"type": "long", "logicalType": "timestamp-millis"}), 1),
        (optional("F", {"type": "fixed", "name": "Two", "size": 2}), b"ab"),
        (optional("F", ADDRESS, NAME), {"LastName": "King"}),
        ({"name": "F", "type": ["string", "null"]}, None),
        ({"name": "F", "type": ["string", "long"]}, 1),
    ],
)
def test_types_that_salesforce_does_not_use_are_left_to_fastavro(
    field: dict[str, Any], value: Any
) -> None:
    definition = record("X", THE_HEADER, field)
    schema = schema_of(definition)
    written = payload({"ChangeEventHeader": header(), "F": value}, definition)

    assert schema.fast_read is None
    assert outcome(lambda: schema.read(written)) == outcome(lambda: with_fastavro(schema, written))


def test_a_header_that_is_not_the_first_field_comes_first_all_the_same() -> None:
    definition = record("X", optional("F", "string"), THE_HEADER)
    written = payload({"ChangeEventHeader": header(), "F": "1"}, definition)

    assert list(schema_of(definition).read(written)) == ["ChangeEventHeader", "F"]


def test_arrays_in_blocks_that_say_their_size_are_left_to_fastavro() -> None:
    definition = record("X", THE_HEADER, optional("Tags", {"type": "array", "items": "string"}))
    before = payload({"ChangeEventHeader": header()}, definition)[:-1]
    blocks = (
        b"\x02" + b"\x03\x08" + b"\x02a\x02b" + b"\x00"
    )  # the array: two in four bytes, no more
    schema = schema_of(definition)
    whole: Any = fastavro.schemaless_reader(
        io.BytesIO(before + blocks), fastavro.parse_schema(json.loads(json.dumps(definition))), None
    )

    assert whole["Tags"] == ["a", "b"]
    assert schema.read(before + blocks)["Tags"] == ["a", "b"]
    with pytest.raises(Unread):
        in_one_go(schema, before + blocks)
