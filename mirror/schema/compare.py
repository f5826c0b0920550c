"""Compare a model with its object in the org."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db import models

from mirror.schema.columns import Columns, Field, is_custom, names_by_column
from mirror.schema.described import (
    COMPOUNDS,
    INTEGERS,
    NUMBERS,
    REFERENCES,
    STRUCTURES,
    DescribedField,
    DescribedObject,
)
from mirror.schema.naming import NOT_KEPT, column_name

_TEXTS = (models.CharField, models.TextField)
_NUMBERS = (models.IntegerField, models.FloatField, models.DecimalField)
_ID_LENGTH = 18


class Level(StrEnum):
    """An error keeps values out of their columns. A warning may. A note asks for nothing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference between a model and its object. `field` is the API name, if there is one."""

    level: Level
    kind: str
    field: str
    column: str
    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def is_missing(self) -> bool:
        """Whether the object has no field for a column."""
        return self.kind == "missing"


def compare(columns: Columns, described: DescribedObject) -> list[Finding]:
    """Return what differs between the model and the object, errors first.

    Kinds: `null` (the column must have a value), `missing` (the object has no such field, or
    hides it), `type`, `length`, `compound`, `ambiguous`, `calculated`, and `new` (a field without
    a column, which `raw` has).
    """
    known = columns.against(described.types)
    findings = [
        *_not_null(known),
        *_missing(known, described),
        *_types(known, described),
        *_new(known, described),
    ]
    order = list(Level)
    return sorted(findings, key=lambda finding: order.index(finding.level))


def flaws(columns: Columns, described: DescribedObject) -> str:
    """Return why a new mirror's model does not fit the object; empty if it does."""
    findings = compare(columns, described)
    return " ".join(each.text for each in findings if each.level == Level.ERROR or each.is_missing)


def can_hold(column: Field, field: DescribedField) -> bool:
    """Return whether the column can hold values of the field's type."""
    target: Any = getattr(column, "target_field", column) if column.is_relation else column
    if isinstance(target, models.JSONField):
        return True
    kinds = _kinds_of(field)
    return isinstance(target, kinds) or (bool(kinds) and _is_of_another_kind(target))


def _kinds_of(field: DescribedField) -> tuple[Any, ...]:
    """Return the Django fields that can hold values of the field, beside JSONField."""
    kinds: dict[str, tuple[Any, ...]] = {
        **dict.fromkeys(COMPOUNDS | STRUCTURES | {"base64"}, ()),
        "anyType": (models.TextField,),
        "boolean": (models.BooleanField, *_TEXTS),
        **dict.fromkeys(INTEGERS, (*_NUMBERS, *_TEXTS)),
        "date": (models.DateField, *_TEXTS),
        "datetime": (models.DateTimeField, *_TEXTS),
        "time": (models.TimeField, *_TEXTS),
    }
    if field.type in NUMBERS:
        return (*(_NUMBERS if field.scale == 0 else _NUMBERS[1:]), *_TEXTS)
    return kinds.get(field.type, _TEXTS)


def _is_of_another_kind(column: Any) -> bool:
    """Return whether the column's values are checked one by one: an array, a UUID, …"""
    known = (*_TEXTS, *_NUMBERS, models.BooleanField, models.DateField, models.TimeField)
    return not isinstance(column, known)


def _not_null(known: Columns) -> Iterator[Finding]:
    for column in known.columns.values():
        if not column.null and not column.has_default():
            text = (
                f"{known.label}.{column.attname} accepts no null and has no default, and any field "
                "can be empty. Add null=True."
            )
            yield Finding(Level.ERROR, "null", "", column.attname, text)


def _missing(known: Columns, described: DescribedObject) -> Iterator[Finding]:
    plain = names_by_column(described.fields)
    for column in known.missing.values():
        name = known.declared.get(column.attname, "")
        if column.has_default() and not name and column.attname not in plain:
            continue  # a column of the user's own
        yield Finding(
            Level.WARNING,
            "missing",
            name,
            column.attname,
            f"{known.label}.{column.attname}: {described.name} has no field "
            f"{name or 'for it'}, or the connection's user may not see it. Stored values stay as "
            "they are. Grant the user Read on the field, correct salesforce_fields, or remove the "
            "column.",
        )


def _types(known: Columns, described: DescribedObject) -> Iterator[Finding]:
    for name, column in known.fields.items():
        field = described.fields[name]
        where = f"{known.label}.{column.attname}"
        if field.type in COMPOUNDS:
            text = f"{where}: {name} is a compound field ({field.type}); use its components."
            yield Finding(Level.ERROR, "compound", name, column.attname, text)
        elif not can_hold(column, field):
            text = (
                f"{where} is a {type(column).__name__}, and {name} is of the type {field.type}. "
                f"Values that do not fit are kept in raw. Print the change with: manage.py "
                f"inspect_salesforce {described.name} --diff"
            )
            yield Finding(Level.ERROR, "type", name, column.attname, text)
        else:
            yield from _limits(where, column, field)
        if field.is_calculated and not field.is_rollup:
            text = f"{where}: {name} is a formula; change events do not report its changes."
            yield Finding(Level.NOTE, "calculated", name, column.attname, text)


def _limits(where: str, column: Field, field: DescribedField) -> Iterator[Finding]:
    needed = _ID_LENGTH if field.type in REFERENCES else field.length
    longest = getattr(column, "max_length", None)
    if isinstance(column, models.CharField) and longest and longest < needed:
        text = (
            f"{where} holds {longest} characters, and {field.name} has up to {needed}. Longer "
            "values are kept in raw: raise max_length, or use a TextField."
        )
        yield Finding(Level.WARNING, "length", field.name, column.attname, text)
    if isinstance(column, models.DecimalField) and column.max_digits is not None:
        whole = column.max_digits - (column.decimal_places or 0)
        if (column.decimal_places or 0) < field.scale or whole < field.precision - field.scale:
            text = (
                f"{where} has {column.max_digits} digits, {column.decimal_places} of them after "
                f"the point; {field.name} has {field.precision} and {field.scale}. Other values "
                "are kept in raw: raise max_digits and decimal_places."
            )
            yield Finding(Level.WARNING, "length", field.name, column.attname, text)


def _new(known: Columns, described: DescribedObject) -> Iterator[Finding]:
    resolved = names_by_column(described.fields)
    clear = set(resolved.values()) | set(known.declared.values())
    for name, field in described.fields.items():
        if name in known.fields or field.type in COMPOUNDS or name in _OWN_FIELDS:
            continue
        if holder := _holder(known, name):
            text = (
                f"{known.label}.{column_name(name)} holds {holder}, and {name} would have the same "
                "column name. Say which one the column holds in salesforce_fields."
            )
            yield Finding(Level.WARNING, "ambiguous", name, column_name(name), text)
        elif name not in clear:
            text = (
                f"{described.name}.{name}: another field has the same column name. To mirror "
                f'it, add it to salesforce_fields of {known.label}: {{"column": "{name}"}}.'
            )
            yield Finding(Level.WARNING, "ambiguous", name, "", text)
        else:
            text = f"{described.name}.{name} has no column in {known.label}; raw has its values."
            yield Finding(Level.NOTE, "new", name, "", text)


def _holder(known: Columns, name: str) -> str | None:
    """Return the standard field that an undeclared column holds, and that a custom field resembles.

    The column may have been written for the custom field, before there was a standard one.
    """
    column = column_name(name)
    if not is_custom(name) or column in known.declared:
        return None
    holders = (other for other, field in known.fields.items() if field.attname == column)
    return next(holders, None)


#: Fields that the model's own columns hold, or that no event carries.
_OWN_FIELDS = NOT_KEPT | {"Id", "IsDeleted", "LastModifiedDate"}
