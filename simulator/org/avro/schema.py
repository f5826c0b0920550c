"""One version of an entity's Avro schema. An event with fields or types that it lacks makes a new
version.

UnfitError: Avro cannot hold the event or the field.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from simulator.org.avro.avro_types import (
    AVRO_NAME,
    COMPOUNDS,
    INT_LIMIT,
    LONG_LIMIT,
    Children,
    Field,
    field_for,
    plain_type,
    takes,
)
from simulator.org.events import HEADER
from simulator.org.ids import schema_id
from simulator.org.records import JsonObject

CHANGE_TYPES = (
    *("CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE"),
    *("GAP_UNDELETE", "GAP_OVERFLOW", "SNAPSHOT"),
)
FIELD_LISTS = ("nulledFields", "diffFields", "changedFields")


@dataclass(frozen=True)
class Schema:
    """One version of an entity's schema; its id is a hash of its text."""

    record: str
    fields: tuple[Field, ...]
    compounds: Mapping[str, Children]
    change_types: tuple[str, ...] = CHANGE_TYPES

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """The position of each field; the header is at 0."""
        return {field.name: number for number, field in enumerate(self.fields, start=1)}

    @cached_property
    def children(self) -> Mapping[str, tuple[str, ...]]:
        """The children of each compound field."""
        return {f.name: tuple(self.compounds[f.compound]) for f in self.fields if f.compound}

    def field(self, name: str) -> Field | None:
        at = self.positions.get(name)
        return self.fields[at - 1] if at else None

    @cached_property
    def text(self) -> str:
        """The schema as JSON."""
        defined: set[str] = set()
        fields = [self._field(field, defined) for field in self.fields]
        header = {"name": HEADER, "type": self._header(), "doc": "Data:ComplexValueType"}
        schema = {
            "type": "record",
            "name": self.record,
            "namespace": "com.sforce.eventbus",
            "fields": [header, *fields],
        }
        return json.dumps(schema, separators=(",", ":"))

    @cached_property
    def schema_id(self) -> str:
        """The schema id, 22 characters."""
        return schema_id(self.text)

    def _field(self, field: Field, defined: set[str]) -> JsonObject:
        types: list[object] = ["null", *field.plain]
        if field.compound in defined:
            types.append(field.compound)
        elif field.compound:
            defined.add(field.compound)
            children = self.compounds[field.compound].items()
            members = [
                {"name": name, "type": ["null", *plain], "default": None}
                for name, plain in children
            ]
            types.append({"type": "record", "name": field.compound, "fields": members})
        return {"name": field.name, "type": types, "doc": field.doc, "default": None}

    def _header(self) -> JsonObject:
        texts = {"type": "array", "items": "string"}
        kind = {"type": "enum", "name": "ChangeType", "symbols": list(self.change_types)}
        types: JsonObject = {
            "entityName": "string",
            "recordIds": texts,
            "changeType": kind,
            "changeOrigin": "string",
            "transactionKey": "string",
            "sequenceNumber": "int",
            "commitTimestamp": "long",
            "commitNumber": "long",
            "commitUser": "string",
            **dict.fromkeys(FIELD_LISTS, texts),
        }
        fields = [{"name": name, "type": kind} for name, kind in types.items()]
        return {"type": "record", "name": HEADER, "fields": fields}


UNREADABLE = b"\xff" * 12


class UnfitError(ValueError):
    """Avro cannot hold the event. The message says which part."""


def fitted(schema: Schema, payload: JsonObject, fixed: int) -> Schema:
    """Return the schema, or a new version that holds this event. Raises UnfitError.

    The first `fixed` fields keep their places. The others are sorted by name, so that a new field
    moves others, which reveals a client that decodes with the wrong version.
    """
    header = payload.get(HEADER)
    if not isinstance(header, dict):
        raise UnfitError("it has no header")
    _check_header(header)
    if header["changeType"] not in schema.change_types:
        schema = replace(schema, change_types=(*schema.change_types, header["changeType"]))
    for name, value in _asked(payload, header):
        schema = widened(schema, name, value, fixed)
    return schema


def _check_header(header: JsonObject) -> None:
    for name in ("entityName", "transactionKey", "commitUser", "changeType"):
        if not isinstance(header.get(name), str):
            raise UnfitError(f"{name} is no text")
    if not AVRO_NAME.fullmatch(header["changeType"]):
        raise UnfitError("changeType cannot be a symbol")
    if not isinstance(header.get("changeOrigin", ""), str):
        raise UnfitError("changeOrigin is no text")
    limits = {"sequenceNumber": INT_LIMIT, "commitTimestamp": LONG_LIMIT}
    for name, limit in {**limits, "commitNumber": LONG_LIMIT}.items():
        number = header.get(name)
        if isinstance(number, bool) or not isinstance(number, int) or abs(number) >= limit:
            raise UnfitError(f"{name} is no whole number of its size")
    for name in ("recordIds", *FIELD_LISTS):
        texts = header.get(name, []) if name in FIELD_LISTS else header.get(name)
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise UnfitError(f"{name} is no list of texts")


def _asked(payload: JsonObject, header: JsonObject) -> Iterable[tuple[str, object]]:
    """Yield every field that the schema must have, with a value that it must accept."""
    diffs = header.get("diffFields", ())
    for name, value in payload.items():
        if name != HEADER:
            yield name, diff_text(value) if name in diffs else value
    for listed in FIELD_LISTS:
        for name in header.get(listed, ()):
            parent, _, child = name.partition(".")
            yield parent, {child: None} if child else None


def widened(schema: Schema, name: str, value: object, fixed: int) -> Schema:
    field = schema.field(name)
    if field is None:
        if not AVRO_NAME.fullmatch(name):
            raise UnfitError(f"no Avro field can have the name {name!r}")
        field = field_for(name, value)
        schema = with_field(schema, field, fixed)
    if isinstance(value, dict):
        return _with_children(schema, field, value)
    if field.takes(value):
        return schema
    return replaced(schema, replace(field, plain=(*field.plain, plain_type(value))))


def with_field(schema: Schema, field: Field, fixed: int) -> Schema:
    first, others = schema.fields[:fixed], (*schema.fields[fixed:], field)
    fields = (*first, *sorted(others, key=lambda other: other.name))
    known = {field.compound: COMPOUNDS.get(field.compound, {})} if field.compound else {}
    return replace(schema, fields=fields, compounds={**known, **schema.compounds})


def replaced(schema: Schema, field: Field) -> Schema:
    """Return the schema with another field of the same name."""
    fields = tuple(field if other.name == field.name else other for other in schema.fields)
    return replace(schema, fields=fields)


def _with_children(schema: Schema, field: Field, value: JsonObject) -> Schema:
    if not field.compound:
        field = replace(field, compound=field_for(field.name, value).compound)
        known = COMPOUNDS.get(field.compound, {})
        schema = replace(
            replaced(schema, field), compounds={field.compound: known, **schema.compounds}
        )
    children = dict(schema.compounds[field.compound])
    for name, child in value.items():
        if not AVRO_NAME.fullmatch(name):
            raise UnfitError(f"no Avro field can have the name {name!r}")
        plain = children.get(name, ())
        if name not in children or not takes(plain, child):
            children[name] = (*plain, plain_type(child))
    if children == schema.compounds[field.compound]:
        return schema
    return replace(schema, compounds={**schema.compounds, field.compound: children})


def diff_text(value: object) -> object:
    """Return the text that is sent for `{"diff": "…"}`."""
    return value["diff"] if isinstance(value, dict) and set(value) == {"diff"} else value
