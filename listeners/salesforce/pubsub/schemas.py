"""Avro schemas of events, parsed once and used for all payloads.

Only schemas that limit the memory of a decoded payload are accepted: no type contains itself (a
payload could make the reader recurse arbitrarily deep), types are not nested deeply, and every
value takes at least one byte (otherwise six bytes could encode an array of 2**40 values).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from io import BytesIO
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException

from listeners.salesforce.http.answer_limits import EVENT, SCHEMA, is_deeper, shown
from listeners.salesforce.pubsub.bitmaps import Named, named
from listeners.salesforce.pubsub.payload_reader import Unread, reader_of
from listeners.salesforce.pubsub.values import Field, converter, whole_of

_DEEPEST = 40  # nested types; Salesforce's schemas have two levels
_DEEPEST_JSON = 200
_REMEMBERED = 256  # cached lists of bitmaps, which repeat in bulk changes
_LONGEST_REMEMBERED = 2_000  # characters
_LONGEST_FLAW = 300  # characters
#: The limit for lists and records in a payload, each of which may take one byte of it and 200 bytes
#: of memory. Salesforce's schemas have none inside lists and maps.
MOST_WITHIN_LISTS = 1_000

_UNREADABLE = (
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    struct.error,
    SchemaParseException,
)


class PayloadFlaw(ValueError):
    """A payload is not a record of its schema."""


class _SchemaFlaw(ValueError):
    """A schema cannot be used; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A parsed schema. If it has a ``flaw``, its events cannot be decoded."""

    id: str
    text: str | None  # the JSON text; None if Salesforce did not return it
    flaw: str | None = None
    fields: tuple[Field, ...] = ()
    parsed: Any = field(default=None, repr=False)
    cached_named: Callable[[tuple[str, ...]], Named] | None = field(default=None, repr=False)
    fast_read: Callable[[bytes], dict[str, Any]] | None = field(default=None, repr=False)

    def read(self, payload: bytes) -> dict[str, Any]:
        """Return the header and the non-null fields, with values as in the Streaming API.

        Raises PayloadFlaw.
        """
        if len(payload) > EVENT.size:
            over = f"more than {shown(EVENT.size)}, the limit for {EVENT.kind}"
            raise PayloadFlaw(f"the payload has {over}")
        if self.fast_read is not None:
            try:
                return self.fast_read(payload)
            except (Unread, *_UNREADABLE):
                pass  # fastavro reads the payload, or reports what is wrong
        return whole_of(self.record(payload), self.fields)

    def record(self, payload: bytes) -> dict[str, Any]:
        """Return all fields in Avro's types, as fastavro reads them. Raises PayloadFlaw."""
        unread = BytesIO(payload)
        try:
            record = fastavro.schemaless_reader(unread, self.parsed, None)
        except _UNREADABLE as error:
            why = _of_payload(error)
        else:
            left = len(payload) - unread.tell()
            if not left and isinstance(record, dict):
                _require_few(record)
                return record
            why = f"{left} bytes follow the record"
        raise PayloadFlaw(f"the payload does not fit schema {self.id}: {why}")

    def named(self, elements: tuple[str, ...]) -> Named:
        """Return the fields that bitmaps name. Raises BitmapFlaw."""
        if self.cached_named and sum(map(len, elements)) <= _LONGEST_REMEMBERED:
            return self.cached_named(elements)
        return named(elements, self.fields)


def parse_schema(schema_id: str, schema_json: str) -> Schema:
    """Return the schema of SchemaInfo's ``schema_json``, with a ``flaw`` if it is invalid."""
    try:
        loaded = _loaded(schema_json)
        parsed = fastavro.parse_schema(loaded)
        fields = _Reading().record(parsed)
    except _UNREADABLE as error:
        flaw = f"schema {schema_id} cannot be used: {_reason(error)}"
        return Schema(schema_id, schema_json, flaw)
    cached_named = lru_cache(maxsize=_REMEMBERED)(partial(named, fields=fields))
    fast_read = reader_of(parsed, fields)
    return Schema(schema_id, schema_json, None, fields, parsed, cached_named, fast_read)


def missing_schema(schema_id: str, why: str) -> Schema:
    """Return a schema with a ``flaw``, for one that Salesforce does not know."""
    return Schema(schema_id, None, f"schema {schema_id} is not available: {why}")


def _reason(error: BaseException) -> str:
    if isinstance(error, _SchemaFlaw):
        return str(error)
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return reason if len(reason) <= _LONGEST_FLAW else f"{reason[:_LONGEST_FLAW]}…"


def _of_payload(error: BaseException) -> str:
    match error:
        case EOFError():
            return f"it ends too early ({_reason(error)})"
        case IndexError():
            return f"it selects a type or symbol that does not exist ({_reason(error)})"
        case UnicodeError():
            return f"a string is not valid UTF-8 ({_reason(error)})"
        case _:
            return _reason(error)


def _loaded(schema_json: str) -> Any:
    if over := SCHEMA.flaw(schema_json.encode(errors="replace")):
        raise _SchemaFlaw(f"it has {over}, the limit for {SCHEMA.kind}")
    loaded = json.loads(schema_json)
    if is_deeper(loaded, _DEEPEST_JSON):
        raise _SchemaFlaw("it is nested too deeply")
    return loaded


def _require_few(record: Mapping[str, Any]) -> None:
    """Raise PayloadFlaw if a record contains too many lists and records."""
    found = 0
    level: list[Any] = list(record.values())
    while level:
        level = [value for value in level if isinstance(value, dict | list)]
        found += len(level)
        if found > MOST_WITHIN_LISTS:
            raise PayloadFlaw(
                f"the payload contains more than {MOST_WITHIN_LISTS:,} lists and records"
            )
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]


@dataclass(frozen=True, slots=True)
class _Type:
    """A type: its Avro name (for a union, of each branch), a record's fields, and its depth."""

    names: frozenset[str]
    fields: tuple[Field, ...] = ()
    depth: int = 1


class _Reading:
    """A walk through a schema that fastavro has parsed, in which all names are fully qualified."""

    def __init__(self) -> None:
        self._named: dict[str, _Type | None] = {}  # None: the type is being read

    def record(self, parsed: Any) -> tuple[Field, ...]:
        """Return the fields of the schema, which must be a record."""
        if not isinstance(parsed, dict) or parsed.get("type") not in ("record", "error"):
            raise _SchemaFlaw("it is not a record")
        return self._definition(parsed).fields

    def _type(self, given: Any) -> _Type:
        if isinstance(given, list):
            return self._union(given)
        if isinstance(given, dict):
            return self._definition(given)
        if given == "null":
            raise _SchemaFlaw("null outside of a union takes no bytes")
        if given not in self._named:
            return _Type(frozenset((str(given),)))
        if (known := self._named[given]) is None:
            raise _SchemaFlaw(f"{given} contains itself")
        return known

    def _union(self, branches: list[Any]) -> _Type:
        if not branches:
            raise _SchemaFlaw("a union has no branches")
        types = [self._type(branch) for branch in branches if branch != "null"]
        return _Type(
            frozenset("null" for branch in branches if branch == "null").union(
                *(of.names for of in types)
            ),
            next((of.fields for of in types if of.fields), ()),
            _deeper(types),
        )

    def _definition(self, given: Mapping[str, Any]) -> _Type:
        kind = given["type"]
        if kind == "array":
            return _Type(frozenset((kind,)), depth=_deeper([self._type(given["items"])]))
        if kind == "map":
            return _Type(frozenset((kind,)), depth=_deeper([self._type(given["values"])]))
        if kind in ("record", "error"):
            self._named[given["name"]] = None
            found = self._record(given)
        elif kind in ("fixed", "enum"):
            _require_bytes(given)
            found = _Type(frozenset((kind,)))
        elif "logicalType" in given:
            return _Type(frozenset((f"{kind} {given['logicalType']}",)))
        else:
            return self._type(kind)
        self._named[given["name"]] = found
        return found

    def _record(self, given: Mapping[str, Any]) -> _Type:
        names = [field["name"] for field in given["fields"]]
        if not names:
            raise _SchemaFlaw(f"{given['name']} has no fields and takes no bytes")
        if len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
            raise _SchemaFlaw(f"the fields of {given['name']} have no unique names")
        types = [self._type(field["type"]) for field in given["fields"]]
        fields = tuple(map(_field, given["fields"], types))
        return _Type(frozenset(("record",)), fields, _deeper(types))


def _field(given: Mapping[str, Any], of: _Type) -> Field:
    doc = given.get("doc")
    convert = converter(of.names, given["name"], doc if isinstance(doc, str) else "")
    return Field(given["name"], convert, of.fields)


def _deeper(types: list[_Type]) -> int:
    depth = 1 + max((of.depth for of in types), default=0)
    if depth > _DEEPEST:
        raise _SchemaFlaw("its types are nested too deeply")
    return depth


def _require_bytes(given: Mapping[str, Any]) -> None:
    size = given.get("size", 1)
    if not isinstance(size, int) or size < 1:
        raise _SchemaFlaw(f"{given['name']} has a size of {size!r}")
