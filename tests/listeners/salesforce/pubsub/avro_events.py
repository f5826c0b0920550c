"""Events of the Pub/Sub API, written with fastavro by a small schema made here."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro

from listeners.salesforce.pubsub.schemas import Schema, parse_schema
from listeners.salesforce.pubsub.to_cometd import message_of
from listeners.salesforce.pubsub.wire.pubsub_api_pb2 import ConsumerEvent, ProducerEvent

CHANNEL = "/data/ThingChangeEvent"
KINDS = ["CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_UPDATE"]


def optional(name: str, *kinds: Any, doc: str = "") -> dict[str, Any]:
    return {
        "name": name,
        "type": ["null", *kinds],
        "default": None,
        **({"doc": doc} if doc else {}),
    }


def record(name: str, *fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def strings(name: str) -> dict[str, Any]:
    return {"name": name, "type": {"type": "array", "items": "string"}}


HEADER = record(
    "ChangeEventHeader",
    {"name": "entityName", "type": "string"},
    strings("recordIds"),
    {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": KINDS}},
    {"name": "changeOrigin", "type": "string"},
    {"name": "transactionKey", "type": "string"},
    {"name": "sequenceNumber", "type": "int"},
    {"name": "commitTimestamp", "type": "long"},
    {"name": "commitNumber", "type": "long"},
    {"name": "commitUser", "type": "string"},
    strings("nulledFields"),
    strings("diffFields"),
    strings("changedFields"),
)
ADDRESS = record(
    "Address", optional("Street", "string"), optional("City", "string"), optional("Lat", "double")
)
NAME = record("PersonName", optional("FirstName", "string"), optional("LastName", "string"))
THING = record(
    "ThingChangeEvent",
    {"name": "ChangeEventHeader", "type": HEADER},
    optional("Name", "string", NAME),  # 1
    optional("Phone", "string"),  # 2
    optional("Billing", ADDRESS),  # 3
    optional("Shipping", "Address"),  # 4
    optional("Amount", "double"),  # 5
    optional("LastModifiedDate", "long", doc="Data:DateTime"),  # 6
) | {"namespace": "com.sforce.eventbus"}


def schema_of(definition: Any) -> Schema:
    return parse_schema("s-1", json.dumps(definition))


def header(**fields: Any) -> dict[str, Any]:
    return {
        "entityName": "Thing",
        "recordIds": ["a00B000000AVWaZIAX"],
        "changeType": "UPDATE",
        "changeOrigin": "",
        "transactionKey": "000a50de-05dd-07c4-22fb-44b7f9e72ab5",
        "sequenceNumber": 19,
        "commitTimestamp": 1714417112000,
        "commitNumber": 72784468115,
        "commitUser": "005ZM000000Q6ipYAC",
        "nulledFields": [],
        "diffFields": [],
        "changedFields": [],
        **fields,
    }


def payload(record: dict[str, Any], definition: Any = THING) -> bytes:
    written = io.BytesIO()
    fastavro.schemaless_writer(written, fastavro.parse_schema(definition), record)
    return written.getvalue()


def consumed(
    payload: bytes,
    event_id: str = "e-1",
    schema_id: str = "s-1",
    replay_id: bytes = bytes.fromhex("0000000000a748390000"),
) -> ConsumerEvent:
    event = ProducerEvent(id=event_id, schema_id=schema_id, payload=payload)
    return ConsumerEvent(event=event, replay_id=replay_id)


def message(values: dict[str, Any], definition: Any = THING, **head: Any) -> Any:
    """Return the message decoded from an event with these values and header fields."""
    written = payload({"ChangeEventHeader": header(**head), **values}, definition)
    return message_of(CHANNEL, consumed(written), schema_of(definition))


def changed(values: dict[str, Any], **head: Any) -> dict[str, Any]:
    """Return the values that the message holds, without the header."""
    fields = dict(message(values, **head)["data"]["payload"])
    del fields["ChangeEventHeader"]
    return fields
