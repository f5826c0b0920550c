"""Events that a real org sent are decoded with its own schemas."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import fastavro
import pytest

from listeners.salesforce.decode import decode
from listeners.salesforce.errors import Reaction
from listeners.salesforce.events import ChangeKind
from listeners.salesforce.pubsub.rpc_errors import classify
from listeners.salesforce.pubsub.schemas import parse_schema
from listeners.salesforce.pubsub.to_cometd import message_of
from listeners.salesforce.pubsub.wire.pubsub_api_pb2 import ConsumerEvent
from tests.listeners.salesforce.pubsub.avro_events import consumed
from tests.samples import samples_folder

CHANNEL = "/data/AccountChangeEvent"


def text(name: str) -> str:
    return (samples_folder() / "pubsub" / name).read_text(encoding="utf-8")


def captured() -> list[ConsumerEvent]:
    return [
        consumed(
            base64.b64decode(sent["event"]["payload"]),
            sent["event"]["id"],
            sent["event"]["schemaId"],
            base64.b64decode(sent["replayId"]),
        )
        for sent in json.loads(text("AccountCreationEvents.json"))
    ]


def without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: without_nulls(value) if isinstance(value, dict) else value
        for name, value in fields.items()
        if value is not None
    }


def test_captured_events_become_the_messages_that_others_read_from_them() -> None:
    expected = json.loads(text("golden_decoded.json"))["AccountCreationEvents"]
    schema_text = text(expected["schema_file"])

    for event, golden in zip(captured(), expected["events"], strict=True):
        message = message_of(CHANNEL, event, parse_schema(event.event.schema_id, schema_text))

        head = {
            name: golden.get(f"{name}_expanded", value) for name, value in golden["header"].items()
        }
        fields = without_nulls(golden["nonnull_fields"])
        assert fields["CreatedDate"] == fields["LastModifiedDate"] == 1690667843000
        fields["CreatedDate"] = fields["LastModifiedDate"] = "2023-07-29T21:57:23.000Z"
        assert message["channel"] == CHANNEL
        assert message["data"]["schema"] == golden["schema_id"]
        assert message["data"]["payload"] == {"ChangeEventHeader": head, **fields}
        assert message["data"]["event"]["replayId"] == f"0x{golden['replay_id_hex']}"


def test_captured_events_decode() -> None:
    schema = parse_schema("s", text("AccountChangeEvent.c126ffd.avsc"))

    events = [event for sent in captured() for event in decode(message_of(CHANNEL, sent, schema))]

    assert [event.record_id[-6:] for event in events] == ["kjiIAD", "kjjIAD", "kjkIAD"]
    assert {event.kind for event in events} == {ChangeKind.CREATE}
    assert [event.sequence_number for event in events] == [1, 2, 3]
    assert events[0].event_uuid == "314edf65-2182-4802-94ee-09937069eab9"
    assert events[0].changed_data["BillingAddress"] == {
        "Country": "United States",
        "CountryCode": "US",
    }


@pytest.mark.parametrize(
    ("elements", "names"),
    [
        (["0x800080"], ["Phone", "LastModifiedDate"]),
        (["0x800000", "5-0x01"], ["BillingAddress.Street", "LastModifiedDate"]),
        (["0x800000", "6-0x01"], ["ShippingAddress.Street", "LastModifiedDate"]),
        (["6-0x0180"], ["ShippingAddress.Latitude", "ShippingAddress.Longitude"]),
        (["1-0x06", "26-0x02"], ["Name.FirstName", "Name.LastName", "PersonMailingAddress.City"]),
    ],
)
def test_bitmaps_name_the_fields_of_a_real_schema(elements: list[str], names: list[str]) -> None:
    schema = parse_schema("s", text("AccountChangeEvent.c126ffd.avsc"))

    assert list(schema.named(tuple(elements)).names) == names


@pytest.mark.parametrize("name", ["AccountChangeEvent.avsc", "ContactChangeEvent.avsc"])
def test_each_real_schema_can_be_used(name: str) -> None:
    schema = parse_schema("s", text(name))
    documented = json.loads(samples_folder().parent.joinpath(EXAMPLES).read_text("utf-8"))
    written = io.BytesIO()
    head = documented["GAP_CREATE"]["ChangeEventHeader"]
    fastavro.schemaless_writer(
        written, fastavro.parse_schema(json.loads(text(name))), {"ChangeEventHeader": head}
    )

    [event] = decode(message_of(CHANNEL, consumed(written.getvalue()), schema))

    assert schema.flaw is None
    assert event.is_gap
    assert event.changed_data == {}
    assert event.commit_number == 72784468115


EXAMPLES = "pubsub_decoded_examples.json"
WORDS = {
    "retry": Reaction.RETRY,
    "re-authenticate": Reaction.NEW_TOKEN,
    "fatal": Reaction.CONFIGURATION,
    "client": Reaction.CONFIGURATION,
    "back": Reaction.BACK_OFF_LONG,
    "start": Reaction.REPLAY_LOST,
    "as": Reaction.REPLAY_LOST,
    "restart": Reaction.REHANDSHAKE,
    "reopen": Reaction.REHANDSHAKE,
    "daily": Reaction.QUOTA,
    "another": Reaction.RETRY,
    "paused": Reaction.BACK_OFF_LONG,
}


def test_every_error_code_that_is_known_has_the_reaction_that_is_recommended() -> None:
    table = samples_folder().parent.joinpath("pubsub_error_codes.tsv").read_text("utf-8")
    rows = [line.split("\t") for line in table.splitlines()[1:]]

    wrong = {
        code: (said, reaction)
        for code, said in rows
        for status in ("UNKNOWN", "INVALID_ARGUMENT", "UNAVAILABLE")
        if (reaction := classify(status, code, ""))
        is not WORDS[said.split(maxsplit=1)[0].rstrip(",;")]
    }

    assert len(rows) >= 32
    assert not wrong
