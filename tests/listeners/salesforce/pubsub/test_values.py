from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listeners.salesforce.pubsub.values import date_time
from tests.listeners.salesforce.pubsub.avro_events import HEADER, message, optional, record


def shown(kind: Any, value: Any, *, doc: str = "", name: str = "Value__c") -> Any:
    """Return a field's value as a message has it."""
    definition = record(
        "X", {"name": "ChangeEventHeader", "type": HEADER}, optional(name, kind, doc=doc)
    )
    fields = message({name: value}, definition)["data"]["payload"]
    json.dumps(fields, allow_nan=False)
    return fields[name]


def logical(kind: str, of: str, **more: Any) -> dict[str, Any]:
    return {"type": of, "logicalType": kind, **more}


@pytest.mark.parametrize(
    ("doc", "number", "text"),
    [
        ("Data:DateTime", 1712694387000, "2024-04-09T20:26:27.000Z"),
        ("Data:DateTime:00NDp000009Rr9D", 1712694387007, "2024-04-09T20:26:27.007Z"),
        ("CreatedDate:DateTime", 0, "1970-01-01T00:00:00.000Z"),
        ("Data:DateTime", -1, "1969-12-31T23:59:59.999Z"),
        ("Data:DateTime", -62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
        ("Data:DateTime", 253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ("Data:DateOnly:00NDp000009Rr9I", 1835395200000, "2028-02-29"),
        ("Data:Birthday", -1_990_137_600_000, "1906-12-09"),
        ("Data:DateOnly", 0, "1970-01-01"),
        ("Data:TimeOnly:00NDp000009RrA1", 36_000_000, "10:00:00.000Z"),
        ("Data:TimeOnly", 0, "00:00:00.000Z"),
        ("Data:TimeOnly", 86_399_999, "23:59:59.999Z"),
    ],
)
def test_a_point_in_time_reads_as_on_the_streaming_api(doc: str, number: int, text: str) -> None:
    assert shown("long", number, doc=doc) == text


@pytest.mark.parametrize(
    ("doc", "number"),
    [
        ("Data:DateTime", 253_402_300_800_000),
        ("Data:DateTime", -(2**63)),
        ("Data:DateOnly", 2**63 - 1),
        ("Data:Birthday", -62_135_596_800_001),
        ("Data:TimeOnly", 86_400_000),
        ("Data:TimeOnly", -1),
    ],
)
def test_a_point_in_time_out_of_the_calendar_stays_its_number(doc: str, number: int) -> None:
    assert shown("long", number, doc=doc) == number


def test_without_docs_the_fields_every_object_has_are_known_by_name() -> None:
    assert shown("long", 0, name="CreatedDate") == "1970-01-01T00:00:00.000Z"
    assert shown("long", 0, name="LastModifiedDate") == "1970-01-01T00:00:00.000Z"
    assert shown("long", 0, name="Number__c") == 0
    assert shown("long", 0, name="CreatedDate", doc="Data:Integer") == 0
    assert shown("string", "1", name="CreatedDate") == "1"
    assert shown("int", 7, doc="Data:DateTime") == 7
    assert shown("int", 20_000, doc="Data:DateOnly") == "2024-10-04"


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (
            logical("timestamp-millis", "long"),
            datetime(2024, 4, 9, 20, 26, 27, 7000, UTC),
            "2024-04-09T20:26:27.007Z",
        ),
        (
            logical("timestamp-micros", "long"),
            datetime(2024, 4, 9, 20, 26, 27, 7, UTC),
            "2024-04-09T20:26:27.000007Z",
        ),
        (logical("date", "int"), date(1969, 7, 20), "1969-07-20"),
        (logical("time-millis", "int"), time(10, 0, 0, 5000), "10:00:00.005Z"),
        (logical("uuid", "string"), UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (logical("decimal", "bytes", precision=9, scale=2), Decimal("20.00"), 20),
        (logical("decimal", "bytes", precision=9, scale=2), Decimal("0.25"), 0.25),
        (
            logical("decimal", "bytes", precision=30, scale=10),
            Decimal("12345678901234567890.5"),
            "12345678901234567890.5000000000",
        ),
    ],
)
def test_the_logical_types_of_avro_are_json_too(kind: Any, value: Any, text: Any) -> None:
    assert shown(kind, value) == text


@pytest.mark.parametrize(
    ("kind", "value", "json_value"),
    [
        ("double", 20.0, 20),
        ("double", 0.1, 0.1),
        ("double", -122.0, -122),
        ("double", 1e300, 1e300),
        ("float", 2.0, 2),
        ("bytes", b"\0\xff", "AP8="),
        ({"type": "fixed", "name": "F", "size": 2}, b"ab", "YWI="),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B", "B"),
        ({"type": "array", "items": ["null", "double"]}, [1.0, None], [1, None]),
        ({"type": "map", "values": "bytes"}, {"k": b"a"}, {"k": "YQ=="}),
        ({"type": "map", "values": "int"}, {}, {}),
        ("boolean", False, False),
        ("string", "", ""),
        ("int", 0, 0),
    ],
)
def test_every_type_of_avro_becomes_json(kind: Any, value: Any, json_value: Any) -> None:
    found = shown(kind, value)

    assert found == json_value
    assert type(found) is type(json_value)


@settings(deadline=None)
@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_no_millisecond_is_lost(number: int) -> None:
    text = date_time(number)

    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000 == number
