"""Events of a small entity, encoded as Salesforce does."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro

from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire

SCHEMA_ID = "small-1"
_STRINGS = {"type": "array", "items": "string"}
_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "AccountChangeEvent",
    "namespace": "com.sforce.eventbus",
    "fields": [
        {
            "name": "ChangeEventHeader",
            "type": {
                "type": "record",
                "name": "ChangeEventHeader",
                "fields": [
                    {"name": "entityName", "type": "string"},
                    {"name": "recordIds", "type": _STRINGS},
                    {
                        "name": "changeType",
                        "type": {
                            "type": "enum",
                            "name": "ChangeType",
                            "symbols": ["CREATE", "UPDATE"],
                        },
                    },
                    {"name": "changeOrigin", "type": "string"},
                    {"name": "transactionKey", "type": "string"},
                    {"name": "sequenceNumber", "type": "int"},
                    {"name": "commitTimestamp", "type": "long"},
                    {"name": "commitNumber", "type": "long"},
                    {"name": "commitUser", "type": "string"},
                    {"name": "nulledFields", "type": _STRINGS},
                    {"name": "diffFields", "type": _STRINGS},
                    {"name": "changedFields", "type": _STRINGS},
                ],
            },
        },
        {"name": "Name", "type": ["null", "string"], "default": None},
    ],
}
SCHEMA_JSON = json.dumps(_SCHEMA)
_PARSED = fastavro.parse_schema(json.loads(SCHEMA_JSON))


def replay_id(number: int) -> bytes:
    return number.to_bytes(8) + b"\0\0"


def shown(number: int) -> str:
    """The replay id as it is stored."""
    return f"0x{replay_id(number).hex()}"


def event(
    number: int, *, name: str = "", schema_id: str = SCHEMA_ID, payload: bytes | None = None
) -> wire.ConsumerEvent:
    """The creation of account number so-and-so, whose name is its number."""
    return wire.ConsumerEvent(
        replay_id=replay_id(number),
        event=wire.ProducerEvent(
            id=f"event-{number}",
            schema_id=schema_id,
            payload=_payload(number, name) if payload is None else payload,
        ),
    )


def batch(first: int, last: int, *, name: str = "", pending: int = 0) -> wire.FetchResponse:
    """A response with the events of these numbers."""
    return wire.FetchResponse(
        events=[event(number, name=name) for number in range(first, last + 1)],
        latest_replay_id=replay_id(last),
        pending_num_requested=pending,
    )


def keep_alive(number: int, pending: int = 100) -> wire.FetchResponse:
    return wire.FetchResponse(latest_replay_id=replay_id(number), pending_num_requested=pending)


def _payload(number: int, name: str) -> bytes:
    header = {
        "entityName": "Account",
        "recordIds": [f"001{number:015d}"],
        "changeType": "CREATE",
        "changeOrigin": "",
        "transactionKey": f"transaction-{number}",
        "sequenceNumber": 1,
        "commitTimestamp": 1_700_000_000_000 + number,
        "commitNumber": number,
        "commitUser": "005000000000001AAA",
        "nulledFields": [],
        "diffFields": [],
        "changedFields": [],
    }
    written = io.BytesIO()
    record = {"ChangeEventHeader": header, "Name": name or str(number)}
    fastavro.schemaless_writer(written, _PARSED, record)
    return written.getvalue()
