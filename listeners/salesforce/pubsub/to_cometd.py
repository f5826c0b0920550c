"""Converts events of the Pub/Sub API to messages in the form of the Streaming API.

The header keeps `nulledFields` and `diffFields`, which only the Pub/Sub API sends, even if they are
empty.

An event that cannot be decoded becomes ``{"channel", "pubsub": {"replayId", "eventId",
"schemaId", "payload": base64, "schema": JSON text or null}, "flaw"}``, which contains all that is
needed to decode it with a later release.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from listeners.salesforce.errors import RAW_LIMIT
from listeners.salesforce.pubsub.bitmaps import BitmapFlaw, Named, Places, is_whole, with_nulls
from listeners.salesforce.pubsub.schemas import PayloadFlaw, Schema, parse_schema
from listeners.salesforce.pubsub.values import HEADER
from listeners.salesforce.replay_ids import text_of

if TYPE_CHECKING:
    from listeners.salesforce.pubsub.wire.pubsub_api_pb2 import ConsumerEvent

_FIELD_LISTS = ("changedFields", "nulledFields", "diffFields")
_NO_FIELDS = Named((), {})
_OTHER_CHARACTERS = 100_000  # room for the parts of a message other than payload and schema


class _Event(NamedTuple):
    channel: str
    replay_id: str | None
    event_id: str
    schema_id: str
    payload: bytes


def message_of(channel: str, event: ConsumerEvent, schema: Schema) -> Mapping[str, Any]:
    """Return the message of ``event``, whose schema is ``schema``.

    A payload that cannot be decoded gives the undecodable form, for which ``decode`` raises.
    """
    produced = event.event
    replay_id = text_of(event.replay_id) if event.replay_id else None
    return _message(
        _Event(channel, replay_id, produced.id, produced.schema_id, produced.payload), schema
    )


def read_again(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Decode an event in the undecodable form; the result has a ``flaw`` if that fails again."""
    try:
        kept = message["pubsub"]
        event = _Event(
            _text(message["channel"]),
            None if kept["replayId"] is None else _text(kept["replayId"]),
            _text(kept["eventId"]),
            _text(kept["schemaId"]),
            base64.b64decode(_text(kept["payload"]), validate=True),
        )
        text = None if kept["schema"] is None else _text(kept["schema"])
    except (LookupError, TypeError, ValueError) as error:
        return {"flaw": f"the stored event is incomplete: {type(error).__name__} {error}"}
    if text is None:
        return {"flaw": str(message.get("flaw") or f"schema {event.schema_id} was not stored")}
    return _message(event, _parsed(event.schema_id, text))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is not a text")
    return value


# Cached, because a faulty schema makes all of its events undecodable, and all are retried.
_parsed = lru_cache(maxsize=4)(parse_schema)


def _message(event: _Event, schema: Schema) -> Mapping[str, Any]:
    if schema.flaw:
        return _undecodable(event, schema, schema.flaw)
    if event.replay_id is None:
        return _undecodable(event, schema, "the event has no replay id")
    try:
        payload = _payload(schema, schema.read(event.payload))
    except (PayloadFlaw, BitmapFlaw) as flaw:
        return _undecodable(event, schema, str(flaw))
    named = {"EventUuid": event.event_id} if event.event_id else {}
    return {
        "channel": event.channel,
        "data": {
            "schema": event.schema_id,
            "payload": payload,
            "event": {"replayId": event.replay_id, **named},
        },
    }


def _undecodable(event: _Event, schema: Schema, flaw: str) -> Mapping[str, Any]:
    payload = base64.b64encode(event.payload).decode("ascii")
    room = RAW_LIMIT - _OTHER_CHARACTERS - len(payload)
    fits = schema.text is not None and len(json.dumps(schema.text)) < room
    return {
        "channel": event.channel,
        "pubsub": {
            "replayId": event.replay_id,
            "eventId": event.event_id,
            "schemaId": event.schema_id,
            "payload": payload,
            "schema": schema.text if fits else None,
        },
        "flaw": flaw,
    }


def _payload(schema: Schema, record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with names instead of bitmaps, and with its explicit nulls."""
    header = record.get(HEADER)
    if header is None:
        return record
    changed, nulled, diff = [_expanded(schema, header, name) for name in _FIELD_LISTS]
    explicit = changed | nulled
    payload = record if is_whole(record, explicit) else with_nulls(record, schema.fields, explicit)
    if diff.places:
        _mark_diffs(payload, diff.places)
    return payload


def _expanded(schema: Schema, header: dict[str, Any], name: str) -> Named:
    """Replace bitmaps in a list of the header by names, and return the fields that they name."""
    elements = header.get(name)
    if not elements or not isinstance(elements, list):
        return _NO_FIELDS
    named = _NO_FIELDS
    if set(map(type, elements)) == {str}:
        try:
            named = schema.named(tuple(elements))
        except BitmapFlaw as flaw:
            raise BitmapFlaw(f"{HEADER}.{name}: {flaw}") from None
    header[name] = list(named.names)
    return named


def _mark_diffs(payload: dict[str, Any], places: Places) -> None:
    """Replace each text that is a diff by {"diff": text}, to distinguish it from a full text."""
    for name, children in places.items():
        value = None if name == HEADER else payload.get(name)
        if isinstance(value, str):
            payload[name] = {"diff": value}
        elif isinstance(value, dict):
            for child in children:
                if isinstance(value.get(child), str):
                    value[child] = {"diff": value[child]}
