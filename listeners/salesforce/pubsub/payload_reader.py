"""A fast reader of Avro payloads, built once for each schema.

fastavro walks the schema for every payload, and creates a null for each unset field, which most
fields are. This reader supports only what Salesforce's schemas and payloads contain, and raises
`Unread` for anything else, which is then left to fastavro. It returns the same values as fastavro.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from listeners.salesforce.pubsub.values import HEADER, Convert, Field, plain

#: Takes a payload and the offset of a value, and returns the value and the offset of its end.
Read = Callable[[bytes, int], tuple[Any, int]]
_Branches = Mapping[int, Read]  # by the encoded index of the branch, one byte
_Known = dict[str, Any]  # definitions of named types, and readers of records
_Part = tuple[str, Read | None, _Branches]  # a field: a required one, or branches (or null)

_DOUBLE = struct.Struct("<d")
_FLOAT = struct.Struct("<f")
_MULTIPLE = 0x80  # in the first byte of a number: another byte follows
_NOT_SHORT = _MULTIPLE | 0x01  # or the number is negative
_WIDEST = 63  # bits of a number; longer ones are left to fastavro
_REMEMBERED = 1_000  # cached times: those of a transaction and of a record's dates repeat


class Unread(Exception):
    """The schema or payload is not supported here, and left to fastavro."""


def reader_of(parsed: Any, fields: Sequence[Field]) -> Callable[[bytes], dict[str, Any]] | None:
    """Return a reader for payloads of a schema, or None if the schema is not supported.

    `parsed` is the schema as fastavro parsed it, `fields` are its fields. The reader returns the
    header and the non-null fields, converted. It may raise any exception for a payload that it
    does not support.
    """
    try:
        return _whole(_record(parsed, fields, {}), fields)
    except Unread:
        return None


def _whole(read: Read, fields: Sequence[Field]) -> Callable[[bytes], dict[str, Any]]:
    compounds = [field.name for field in fields if field.children]

    def whole(payload: bytes) -> dict[str, Any]:
        record: dict[str, Any]
        record, end = read(payload, 0)
        if end != len(payload):  # also detects a string that is cut off
            raise Unread
        for name in compounds:
            if record.get(name) == {}:
                del record[name]
        return record

    return whole


def _record(definition: Any, fields: Sequence[Field], known: _Known) -> Read:
    """Return the reader of a record type, built once: nested types would multiply otherwise."""
    name = f"reader of {definition['name']}"
    if name not in known:
        known[name] = _new_record(definition, fields, known)
    read: Read = known[name]
    return read


def _new_record(definition: Any, fields: Sequence[Field], known: _Known) -> Read:
    parts: list[_Part] = []
    for given, field in zip(definition["fields"], fields, strict=True):
        if field.name == HEADER and not parts:
            parts.append((HEADER, _header(given["type"], known), {}))
        elif field.name == HEADER:
            raise Unread
        elif isinstance(given["type"], list):
            parts.append((field.name, None, _branches(given["type"], field, known)))
        else:
            parts.append((field.name, _value(given["type"], field, known), {}))
    return _reading(parts)


def _reading(parts: Sequence[_Part]) -> Read:
    string = _string  # a local variable is faster

    def record(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        values: dict[str, Any] = {}
        for name, always, branches in parts:
            read = always
            if read is None:
                branch = data[at]
                at += 1
                if not branch:
                    continue
                read = branches[branch]
            # Short strings, the most frequent values, are read inline: calls would double the cost.
            if read is string and not (size := data[at]) & _NOT_SHORT:
                at += 1
                end = at + (size >> 1)
                values[name] = data[at:end].decode()
                at = end
            else:
                values[name], at = read(data, at)
        return values, at

    return record


def _header(definition: Any, known: _Known) -> Read:
    """Return the reader of the header, which keeps nulls and converts values to JSON types."""
    if not isinstance(definition, dict) or definition["type"] != "record":
        raise Unread
    parts: list[_Part] = []
    for given in definition["fields"]:
        field = Field(given["name"], plain)
        kinds = given["type"]
        if isinstance(kinds, list):
            parts.append((field.name, _or_null(_branches(kinds, field, known)), {}))
        else:
            parts.append((field.name, _value(kinds, field, known), {}))
    return _reading(parts)


def _or_null(branches: _Branches) -> Read:
    return lambda data, at: branches[data[at]](data, at + 1) if data[at] else (None, at + 1)


def _branches(kinds: Sequence[Any], field: Field, known: _Known) -> _Branches:
    records = [
        kind for kind in kinds if _is_record(known.get(kind, {}) if isinstance(kind, str) else kind)
    ]
    if kinds[0] != "null" or len(records) > 1 or len(kinds) > _MULTIPLE // 2:
        raise Unread
    return {2 * n: _value(kind, field, known) for n, kind in enumerate(kinds[1:], start=1)}


def _is_record(definition: Mapping[str, Any]) -> bool:
    return definition.get("type") == "record"


def _value(kind: Any, field: Field, known: _Known) -> Read:
    """Return the reader of a field's type, or of one branch of it."""
    given = known.get(kind, kind) if isinstance(kind, str) else kind
    if isinstance(given, str):
        return _converted(given, field.convert)
    if not isinstance(given, dict) or "logicalType" in given:
        raise Unread
    match given["type"]:
        case "record" if field.children:
            known[given["name"]] = given
            return _record(given, field.children, known)
        case "enum":
            known[given["name"]] = given
            return _enum(given["symbols"])
        case "array" if given["items"] == "string":
            return _strings
        case str() as simple if simple in _SIMPLE:
            return _converted(simple, field.convert)
    raise Unread


def _converted(kind: str, convert: Convert | None) -> Read:
    read = _SIMPLE.get(kind)
    if read is None:
        raise Unread
    if convert is None or kind == "string" or (convert is plain and kind not in _FRACTIONS):
        return read
    if kind == "long":
        return _then(read, lru_cache(maxsize=_REMEMBERED)(convert))
    return _then(read, convert)


def _then(read: Read, convert: Convert) -> Read:
    def then(data: bytes, at: int) -> tuple[Any, int]:
        value, end = read(data, at)
        return convert(value), end

    return then


def _long(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    if byte < _MULTIPLE:
        return (byte >> 1) ^ -(byte & 1), at
    value = byte & 0x7F
    shift = 7
    while byte & _MULTIPLE:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift > _WIDEST:
            raise Unread
    return (value >> 1) ^ -(value & 1), at


def _string(data: bytes, at: int) -> tuple[str, int]:
    size, at = _long(data, at)
    if size < 0:
        raise Unread
    end = at + size
    return data[at:end].decode(), end


def _strings(data: bytes, at: int) -> tuple[list[str], int]:
    texts: list[str] = []
    while data[at]:
        count, at = _long(data, at)
        if count < 0:
            raise Unread
        for _ in range(count):
            size = data[at]
            if size & _NOT_SHORT:
                text, at = _string(data, at)
            else:
                end = at + 1 + (size >> 1)
                text, at = data[at + 1 : end].decode(), end
            texts.append(text)
    return texts, at + 1


def _boolean(data: bytes, at: int) -> tuple[bool, int]:
    return _BOOLEANS[data[at]], at + 1


def _double(data: bytes, at: int) -> tuple[float, int]:
    return _DOUBLE.unpack_from(data, at)[0], at + 8


def _float(data: bytes, at: int) -> tuple[float, int]:
    return _FLOAT.unpack_from(data, at)[0], at + 4


def _enum(symbols: Sequence[str]) -> Read:
    by_byte = {2 * n: symbol for n, symbol in enumerate(symbols[: _MULTIPLE // 2])}
    return lambda data, at: (by_byte[data[at]], at + 1)


_BOOLEANS = (False, True)
_FRACTIONS = ("double", "float")
_SIMPLE: Mapping[str, Read] = {
    "string": _string,
    "boolean": _boolean,
    "int": _long,
    "long": _long,
    "double": _double,
    "float": _float,
}
