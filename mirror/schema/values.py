"""Convert records to the values of a mirrored model's columns.

A value that its column cannot hold goes to `raw` and leaves the column null, or at its default;
the result reports it. `raw` also has every field without a column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

from mirror.schema.columns import Columns, Resolved
from mirror.schema.compounds import flat, person_name
from mirror.schema.convert import Convert, Refused, converter, is_empty, raw_value
from mirror.schema.key_prefixes import STANDARD_PREFIXES
from mirror.schema.naming import NOT_KEPT
from mirror.schema.storable import storable_json

#: Fields that `raw` does not have: the model's own columns hold them, or no event carries them.
LEFT_OUT = NOT_KEPT | {"attributes", "Id", "IsDeleted", "LastModifiedDate"}
_REFERENCES = frozenset({"id", "reference"})


@dataclass(frozen=True, slots=True)
class RefusedValue:
    """A value that its column cannot hold."""

    field: str
    column: str
    value: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.value!r:.100} does not fit {self.column}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Converted:
    """A record as the values of columns, by attribute name.

    `unknown` names fields that changed to a value that the record does not hold: it must be read.
    """

    values: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
    refused: list[RefusedValue] = field(default_factory=list)
    unknown: frozenset[str] = frozenset()


def to_columns(
    columns: Columns,
    record: Mapping[str, Any],
    *,
    is_whole: bool = True,
    prefixes: Mapping[str, str] = STANDARD_PREFIXES,
) -> Converted:
    """Return the values of a record from REST, the body of a change event, or a row of a CSV file.

    Only fields in the record are in the result. `is_whole` says that the record has all of them, as
    in an answer of REST and the event of a new record. `prefixes` are objects by key prefix, for
    the types of polymorphic references.
    """
    known = columns.resolution
    plan = plan_of(known)
    result = Converted(unknown=_unknown(known, record, is_whole=is_whole))
    for name, value in record.items():
        for part, child in flat(known.names, record, name, value, is_whole=is_whole):
            plan.add(result, part, child)
    _add_types(known, result, record, prefixes)
    return result


Empty: TypeAlias = Callable[[], Any]


@dataclass(frozen=True)
class Plan:
    """How each field of an object is converted."""

    columns: Mapping[str, tuple[str, Convert, Empty]]
    described: Mapping[str, str]

    def add(self, result: Converted, name: str, value: Any) -> None:
        """Put one field of a record into the result."""
        if name not in self.columns:
            if name not in LEFT_OUT and "." not in name:
                result.raw[name] = raw_value(self.described.get(name), value)
            return
        column, convert, empty = self.columns[name]
        try:
            result.values[column] = empty() if is_empty(value) else convert(value)
        except Refused as refusal:
            _refuse(result, RefusedValue(name, column, value, str(refusal)), empty)


@lru_cache(maxsize=256)
def plan_of(known: Resolved) -> Plan:
    """Return how each field of the resolved columns is converted."""
    columns = {
        name: (
            column.attname,
            converter(column, is_id=is_reference(known, name)),
            _null if column.null else column.get_default,
        )
        for name, column in known.fields.items()
    }
    return Plan(columns, known.described)


def _null() -> None:
    return None


def _refuse(result: Converted, refused: RefusedValue, empty: Empty) -> None:
    result.refused.append(refused)
    result.raw[refused.field] = storable_json(refused.value)
    result.values[refused.column] = empty()


def is_reference(known: Resolved, name: str) -> bool:
    """Return whether a field holds ids of records."""
    kind = known.described.get(name)
    return kind in _REFERENCES if kind else name.endswith("Id")


def _unknown(known: Resolved, record: Mapping[str, Any], *, is_whole: bool) -> frozenset[str]:
    name = record.get("Name")
    if not isinstance(name, Mapping) or "Name" not in known.names:
        return frozenset()
    is_known = is_whole and person_name(name) is not None
    return frozenset() if is_known else frozenset({"Name"})


def _add_types(
    known: Resolved, result: Converted, record: Mapping[str, Any], prefixes: Mapping[str, str]
) -> None:
    for name, column in known.types.items():
        if name in record:
            result.values[column.attname] = _type_of(name, record, prefixes)


def _type_of(name: str, record: Mapping[str, Any], prefixes: Mapping[str, str]) -> str | None:
    """Return the object that a polymorphic reference points to, None if unknown or empty."""
    if not record[name]:
        return None
    relation = relation_of(name)
    match record.get(relation):
        case {"attributes": {"type": str(kind)}} | {"Type": str(kind)}:
            return kind
    return record.get(f"{relation}.Type") or prefixes.get(str(record[name])[:3])


def relation_of(name: str) -> str:
    """Return the name under which SOQL has a reference's record: `WhoId` → `Who`."""
    return f"{name[:-1]}r" if name.endswith("__c") else name.removesuffix("Id")
