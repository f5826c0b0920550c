"""Events of a small entity, encoded as Salesforce encodes them."""

from __future__ import annotations

import json

from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire
from tests.listeners.salesforce.pubsub import avro_events
from tests.listeners.salesforce.pubsub.avro_events import HEADER, header, optional, record

SCHEMA_ID = "small-1"
_ACCOUNT = record(
    "AccountChangeEvent",
    {"name": "ChangeEventHeader", "type": HEADER},
    optional("Name", "string"),
) | {"namespace": "com.sforce.eventbus"}
SCHEMA_JSON = json.dumps(_ACCOUNT)


def replay_id(number: int) -> bytes:
    return number.to_bytes(8) + b"\0\0"


def shown(number: int) -> str:
    """Return the replay id in its stored form."""
    return f"0x{replay_id(number).hex()}"


def event(
    number: int, *, name: str = "", schema_id: str = SCHEMA_ID, payload: bytes | None = None
) -> wire.ConsumerEvent:
    """Return the creation of an account, by default named after its number."""
    return wire.ConsumerEvent(
        replay_id=replay_id(number),
        event=wire.ProducerEvent(
            id=f"event-{number}",
            schema_id=schema_id,
            payload=_payload(number, name) if payload is None else payload,
        ),
    )


def batch(first: int, last: int, *, name: str = "", pending: int = 0) -> wire.FetchResponse:
    """Return a response with the events of these numbers."""
    return wire.FetchResponse(
        events=[event(number, name=name) for number in range(first, last + 1)],
        latest_replay_id=replay_id(last),
        pending_num_requested=pending,
    )


def keep_alive(number: int, pending: int = 100) -> wire.FetchResponse:
    return wire.FetchResponse(latest_replay_id=replay_id(number), pending_num_requested=pending)


def _payload(number: int, name: str) -> bytes:
    head = header(
        entityName="Account",
        recordIds=[f"001{number:015d}"],
        changeType="CREATE",
        transactionKey=f"transaction-{number}",
        sequenceNumber=1,
        commitTimestamp=1_700_000_000_000 + number,
        commitNumber=number,
    )
    values = {"ChangeEventHeader": head, "Name": name or str(number)}
    return avro_events.payload(values, _ACCOUNT)
