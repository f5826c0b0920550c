"""An event that cannot be decoded is kept whole, and can be decoded later from what was kept."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from listeners.salesforce.decode import decode
from listeners.salesforce.errors import RAW_LIMIT, Undecodable
from listeners.salesforce.pubsub.schemas import Schema, missing_schema, parse_schema
from listeners.salesforce.pubsub.to_cometd import message_of
from tests.listeners.salesforce.pubsub.avro_events import (
    ADDRESS,
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

THE_HEADER = {"name": "ChangeEventHeader", "type": HEADER}
GOOD = payload({"ChangeEventHeader": header(), "Phone": "1"})
MANY = b"\x80\x80\x80\x80\x80\x80\x80\x80\x40"  # as a count: 2**61


def flaw_of(given: bytes, schema: Schema | None = None) -> Undecodable:
    undecoded = message_of(CHANNEL, consumed(given), schema or schema_of(THING))
    with pytest.raises(Undecodable) as flaw:
        decode(json.loads(json.dumps(undecoded)))
    return flaw.value


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (b"", "it ends too early"),
        (GOOD[:-1], "it ends too early"),
        (GOOD + b"\0", "1 bytes follow the record"),
        (b"\x04\xff\xfe" + GOOD[6:], "UnicodeDecodeError"),
        (GOOD[:-6] + b"\x08" + GOOD[-5:], "schema s-1"),
        (MANY + b"Thing", "schema s-1"),
        (GOOD[:6] + MANY + GOOD[7:], "schema s-1"),
        (b"\xff" * 400, "schema s-1"),
    ],
)
def test_a_payload_that_is_no_record_of_its_schema_says_so(given: bytes, why: str) -> None:
    flaw = flaw_of(given)

    assert flaw.reason.startswith("the payload does not fit schema s-1: ")
    assert why in flaw.reason
    assert flaw.replay_id == "0x0000000000a748390000"


def test_a_payload_is_never_read_in_part() -> None:
    for length in range(len(GOOD)):
        assert flaw_of(GOOD[:length]).reason


def test_what_is_kept_is_all_that_it_takes_to_decode_it_later() -> None:
    undecoded = message_of(CHANNEL, consumed(GOOD), missing_schema("s-1", "NOT_FOUND"))

    kept = json.loads(flaw_of(GOOD + b"\0").raw)
    assert kept == {
        "channel": CHANNEL,
        "pubsub": {
            "replayId": "0x0000000000a748390000",
            "eventId": "e-1",
            "schemaId": "s-1",
            "payload": base64.b64encode(GOOD + b"\0").decode(),
            "schema": json.dumps(THING),
        },
        "flaw": "the payload does not fit schema s-1: 1 bytes follow the record",
    }
    assert undecoded["pubsub"]["schema"] is None


def test_an_event_that_can_be_decoded_by_now_is() -> None:
    kept: dict[str, Any] = json.loads(flaw_of(GOOD + b"\0").raw)
    kept["pubsub"]["payload"] = base64.b64encode(GOOD).decode()

    assert decode(kept) == decode(message({"Phone": "1"}))


def test_an_event_whose_schema_is_unknown_is_kept_with_the_reason() -> None:
    first = flaw_of(GOOD, missing_schema("s-1", "NOT_FOUND: no such schema"))

    with pytest.raises(Undecodable) as again:
        decode(json.loads(first.raw))

    assert first.reason == "schema s-1 is not available: NOT_FOUND: no such schema"
    assert again.value.reason == first.reason
    assert again.value.raw == first.raw


def test_an_event_without_a_replay_id_is_undecodable_and_has_no_position() -> None:
    sent = consumed(GOOD)
    sent.replay_id = b""

    with pytest.raises(Undecodable, match="has no replay id") as flaw:
        decode(message_of(CHANNEL, sent, schema_of(THING)))
    assert flaw.value.replay_id is None


def test_an_event_without_a_header_keeps_its_replay_id() -> None:
    platform = record("X", optional("Text__c", "string"))
    undecoded = message_of(
        CHANNEL, consumed(payload({"Text__c": "x"}, platform)), schema_of(platform)
    )

    with pytest.raises(Undecodable, match="ChangeEventHeader is missing") as flaw:
        decode(undecoded)
    assert flaw.value.replay_id == "0x0000000000a748390000"


def test_a_payload_near_the_limit_is_kept_without_a_schema_that_has_no_room() -> None:
    large = json.dumps([{"doc": "x" * (RAW_LIMIT * 7 // 20)}])

    flaw = flaw_of(bytes(RAW_LIMIT // 2), parse_schema("s-1", large))

    kept = json.loads(flaw.raw)
    assert kept["pubsub"]["schema"] is None
    assert len(base64.b64decode(kept["pubsub"]["payload"])) == RAW_LIMIT // 2
    assert "cannot be used: KeyError" in flaw.reason


def test_a_schema_that_leaves_no_room_for_the_rest_of_the_message_is_not_kept() -> None:
    payload_text = RAW_LIMIT // 2 // 3 * 3
    schema_text = RAW_LIMIT - payload_text * 4 // 3 - 1_000
    large = json.dumps([{"doc": "x" * schema_text}])

    kept = json.loads(flaw_of(bytes(payload_text), parse_schema("s-1", large)).raw)

    assert kept["pubsub"]["schema"] is None


SPOILT: tuple[Any, ...] = (7, ["x"], {}, "é")


def test_what_is_kept_and_was_spoilt_is_undecodable() -> None:
    whole = json.loads(flaw_of(GOOD + b"\0").raw)
    for name in whole["pubsub"]:
        for value in SPOILT:
            spoilt = {**whole, "pubsub": {**whole["pubsub"], name: value}}
            with pytest.raises(Undecodable):
                decode(spoilt)
        with pytest.raises(Undecodable):
            decode({**whole, "pubsub": {k: v for k, v in whole["pubsub"].items() if k != name}})
    foreign = {**whole["pubsub"], "payload": f"!{base64.b64encode(GOOD).decode()}"}
    for pubsub in (*SPOILT, foreign):
        with pytest.raises(Undecodable):
            decode({**whole, "pubsub": pubsub})


def chain(length: int) -> list[dict[str, Any]]:
    """Return fields whose records each refer to the one before: the schema's text is flat, the
    values are nested deeply."""
    first = optional("f0", record("R0", optional("x", "string")))
    return [
        first,
        *(optional(f"f{n}", record(f"R{n}", optional("x", f"R{n - 1}"))) for n in range(1, length)),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("[" * 100_000, ""),
        ('{"type":"array","items":' * 600 + '"int"' + "}" * 600, "it is nested too deeply"),
        ("7", ""),
        ('"string"', "it is not a record"),
        ("[]", "it is not a record"),
        (json.dumps({"type": "record", "name": "X"}), "takes no bytes"),
        (json.dumps(record("X", optional("A", "Unknown"))), "Unknown"),
        (
            json.dumps(record("X", optional("A", "string"), optional("A", "int"))),
            "unique names",
        ),
        (json.dumps(record("X", optional("A", "X"))), "X contains itself"),
        (
            json.dumps(record("X", {"name": "A", "type": {"type": "array", "items": "null"}})),
            "no bytes",
        ),
        (
            json.dumps(record("X", optional("A", {"type": "fixed", "name": "F", "size": 0}))),
            "size of 0",
        ),
        (json.dumps(record("X", {"name": "A", "type": []})), "a union has no branches"),
        (json.dumps(record("X", *chain(60))), "nested too deeply"),
        (json.dumps({"type": "record", "name": "X", "fields": 7}), ""),
        (json.dumps({"type": "record", "name": "X", "fields": [{"name": "A"}]}), ""),
    ],
)
def test_a_schema_that_cannot_be_used_makes_its_events_undecodable(text: str, why: str) -> None:
    schema = parse_schema("s-1", text)

    flaw = flaw_of(GOOD, schema)

    assert flaw.reason.startswith("schema s-1 cannot be used: ")
    assert why in flaw.reason
    assert base64.b64decode(json.loads(flaw.raw)["pubsub"]["payload"]) == GOOD


def test_a_chain_of_records_that_is_not_too_long_can_be_used() -> None:
    assert parse_schema("s-1", json.dumps(record("X", THE_HEADER, *chain(15)))).flaw is None
    assert parse_schema("s-1", json.dumps(record("X", optional("A", ADDRESS)))).flaw is None
