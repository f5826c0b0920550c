"""Removes the nulls of a record, and restores those that a change event names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from listeners.salesforce.pubsub.payload_reader import HEADER
from listeners.salesforce.pubsub.values import Field, plain

#: The fields that an event names → their named children; empty: the field itself.
Places = Mapping[str, frozenset[str]]


def whole_of(record: Mapping[str, Any], fields: Sequence[Field]) -> dict[str, Any]:
    """Return the header and the non-null fields of a record, converted from Avro's types."""
    whole: dict[str, Any] = {}
    given = record.get(HEADER)
    if isinstance(given, dict):
        whole[HEADER] = {name: plain(value) for name, value in given.items()}
    for field in fields:
        value = record[field.name]
        if value is not None and field.name != HEADER:
            converted = _converted(field, value)
            if converted != {} or not field.children:
                whole[field.name] = converted
    return whole


def is_whole(record: Mapping[str, Any], explicit: Places) -> bool:
    """Return whether the record has all named fields, so that no null must be added."""
    for name, children in explicit.items():
        if name not in record:
            return False
        if children and not (isinstance(record[name], dict) and children <= record[name].keys()):
            return False
    return True


def with_nulls(
    record: Mapping[str, Any], fields: Sequence[Field], explicit: Places
) -> dict[str, Any]:
    """Return the record in the schema's order, with null for named fields that are missing."""
    filled = {HEADER: record[HEADER]}
    for field in fields:
        name = field.name
        children = explicit.get(name)
        if name == HEADER:
            continue
        if name not in record:
            if children is not None:
                filled[name] = _filled(field, {}, children) or None
        elif children and field.children and isinstance(record[name], dict):
            filled[name] = _filled(field, record[name], children)
        else:
            filled[name] = record[name]
    return filled


def _converted(field: Field, value: Any) -> Any:
    if field.children and isinstance(value, dict):
        return {
            child.name: _converted(child, within)
            for child in field.children
            if (within := value.get(child.name)) is not None
        }
    return field.convert(value) if field.convert else value


def _filled(field: Field, value: Mapping[str, Any], named: frozenset[str]) -> dict[str, Any]:
    names = (child.name for child in field.children)
    return {name: value.get(name) for name in names if name in value or name in named}
