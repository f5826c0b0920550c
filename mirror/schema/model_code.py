"""The source code of models for objects of the org, as a person would write it."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mirror.schema.column_names import column_names, declared_names
from mirror.schema.columns import is_custom
from mirror.schema.described import DescribedField, DescribedObject
from mirror.schema.field_code import assignment, field_lines, quoted, type_lines
from mirror.schema.naming import column_name

_HEAD = '''"""Local copies of Salesforce objects. Mirrors overwrite changes made here."""

from django.db import models


class MirrorManager(models.Manager):
    """Leaves out deleted records, and records that are not completely known yet."""

    def get_queryset(self):
        return super().get_queryset().filter(is_deleted=False, is_complete=True)
'''
_OWN = """
    # Written by the mirror. `version` is the LastModifiedDate; `raw` has the fields
    # without a column.
    is_deleted = models.BooleanField(default=False)
    is_complete = models.BooleanField(default=True)
    synced_at = models.DateTimeField(null=True)
    version = models.DateTimeField(null=True)
    raw = models.JSONField(default=dict)

    objects = MirrorManager()
    all_objects = models.Manager()
"""


@dataclass(frozen=True)
class Choice:
    """An object, and the fields to have as columns."""

    described: DescribedObject
    fields: Sequence[DescribedField]
    #: What the model's reader should know of fields that are left out.
    notes: Sequence[str] = ()


def module_code(choices: Sequence[Choice]) -> str:
    """Return a module with a model for each object."""
    names = class_names([choice.described.name for choice in choices])
    bodies = [class_code(choice, name) for choice, name in zip(choices, names, strict=True)]
    return "\n\n".join([_HEAD, *bodies])


def class_names(objects: Iterable[str]) -> list[str]:
    """Return a class name for each object: `Employee__c` is Employee, unless a standard object is.

    The names differ also without regard to case, as the names of their tables do.
    """
    wished = list(objects)
    names: dict[str, str] = {}
    used = {"mirrormanager"}
    for name in sorted(wished, key=is_custom):
        parts = column_name(name).split("_")
        plain = name if name.isidentifier() and "_" not in name else ""
        wanted = plain or "".join(part.capitalize() for part in parts)
        if wanted.casefold() in used or keyword.iskeyword(wanted):
            wanted = f"Custom{wanted}"
        while wanted.casefold() in used:
            wanted = f"{wanted}2"
        used.add(wanted.casefold())
        names[name] = wanted
    return [names[name] for name in wished]


def class_code(choice: Choice, name: str) -> str:
    """Return the code of one model."""
    described = choice.described
    columns = column_names(described.fields, [field.name for field in choice.fields])
    label = described.label or described.name
    shown = label if label == described.name else f"{label} ({described.name})"
    lines = [
        f"class {name}(models.Model):",
        f'    """{_docstring(shown)}, mirrored from Salesforce."""',
        "",
        f"    salesforce_object = {quoted(described.name)}",
        *_declared_lines(declared_names(described.fields, columns)),
        "",
        *(f"    # {note}" for note in choice.notes),
        *id_lines(label),
    ]
    for field in choice.fields:
        lines += column_lines(field, columns)
    lines += [*_OWN.rstrip().split("\n"), "", *_str_lines(choice, columns)]
    return "\n".join(lines) + "\n"


def id_lines(label: str) -> list[str]:
    arguments = ["max_length=18", "primary_key=True", f"help_text={quoted(f'{label} ID')}"]
    return assignment("salesforce_id", "models.CharField", arguments)


def column_lines(field: DescribedField, columns: dict[str, str]) -> list[str]:
    """Return the lines of a field's column, and of the column for its type beside."""
    column = columns[field.name]
    lines = field_lines(column, field)
    companion = f"{column.removesuffix('_id')}_type"
    if field.is_polymorphic and companion not in columns.values():
        lines += type_lines(companion, column)
    return lines


def _declared_lines(declared: dict[str, str]) -> list[str]:
    if not declared:
        return []
    pairs = [f"{quoted(column)}: {quoted(name)}" for column, name in declared.items()]
    return [
        "    salesforce_fields = {",
        *(f"        {pair}," for pair in pairs),
        "    }",
    ]


def _str_lines(choice: Choice, columns: dict[str, str]) -> list[str]:
    column = next((columns[field.name] for field in choice.fields if field.is_name), None)
    value = f"self.{column} or self.salesforce_id" if column else "self.salesforce_id"
    return ["    def __str__(self):", f"        return {value}"]


def _docstring(text: str) -> str:
    return text.replace("\\", "").replace('"', "'")
