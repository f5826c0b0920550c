"""One version of an entity's Avro schema."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from simulator.avro.avro_types import Children, Field
from simulator.records import JsonObject

HEADER = "ChangeEventHeader"
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
        """Where each field is; the header is at 0."""
        return {field.name: number for number, field in enumerate(self.fields, start=1)}

    @cached_property
    def children(self) -> Mapping[str, tuple[str, ...]]:
        """The children of each compound field."""
        return {f.name: tuple(self.compounds[f.compound]) for f in self.fields if f.compound}

    def field(self, name: str) -> Field | None:
        """The field of that name."""
        at = self.positions.get(name)
        return self.fields[at - 1] if at else None

    @cached_property
    def text(self) -> str:
        """The schema in JSON."""
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
        """22 characters."""
        digest = hashlib.sha256(self.text.encode()).digest()[:16]
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

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
