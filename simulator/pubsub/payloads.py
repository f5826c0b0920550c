"""Event payloads of the Pub/Sub API: Avro without its schema, with bitmaps for field names."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import fastavro

from simulator.org.avro.avro_types import Children, Field, milliseconds, takes
from simulator.org.avro.schema import FIELD_LISTS, UNREADABLE, Schema, diff_text
from simulator.org.events import HEADER
from simulator.org.records import JsonObject

# Such as a lone surrogate, 10**400, fields of another schema, or a missing or invalid header.
_UNWRITABLE = (ValueError, OverflowError, LookupError, TypeError, AttributeError)


def encoded(payload: JsonObject, schema: Schema) -> bytes:
    """Return the payload of an event, or UNREADABLE if it cannot be encoded. See `Org.encode`."""
    written = io.BytesIO()
    try:
        fastavro.schemaless_writer(written, _parsed(schema.text), _datum(payload, schema))
    except _UNWRITABLE:
        return UNREADABLE
    return written.getvalue()


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    return fastavro.parse_schema(json.loads(text))


def _datum(payload: JsonObject, schema: Schema) -> JsonObject:
    header = {"changeOrigin": "", **payload[HEADER]}
    diffs = header.get("diffFields", ())
    datum: JsonObject = {HEADER: header}
    for listed in FIELD_LISTS:
        header[listed] = bitmaps(header.get(listed, ()), schema.positions, schema.children)
    for name, value in payload.items():
        if name != HEADER and (field := schema.field(name)):
            plain = diff_text(value) if name in diffs else value
            datum[name] = _value(field, plain, schema.compounds.get(field.compound, {}))
    return datum


def _value(field: Field, value: object, children: Children) -> object:
    if isinstance(value, dict):
        return {name: _plain(children[name], child) for name, child in value.items()}
    if (moment := milliseconds(field.temporal, value)) is not None:
        return moment
    return _plain(field.plain, value)


def _plain(plain: tuple[str, ...], value: object) -> object:
    """Return the value for its branch of the union."""
    if isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return value if "int" in plain and takes(("int",), value) else float(value)


def bitmaps(
    names: Iterable[str], positions: Mapping[str, int], children: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return the bitmaps for names such as `Phone` and `Name.FirstName`."""
    top, below = 0, dict[int, int]()
    for name in names:
        parent, _, child = name.partition(".")
        if child:
            bit = 1 << children[parent].index(child)
            below[positions[parent]] = below.get(positions[parent], 0) | bit
        else:
            top |= 1 << positions[parent]
    nested = [f"{position}-{_hex(bits)}" for position, bits in sorted(below.items())]
    return [_hex(top), *nested] if top else nested


def _hex(bits: int) -> str:
    return "0x" + bits.to_bytes((bits.bit_length() + 7) // 8).hex().upper()
