"""The changes that a model's code needs to match its object in the org, as a unified diff."""

from __future__ import annotations

import ast
import difflib
import inspect
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from django.apps import apps
from django.db import models

from mirror.schema.column_names import column_names, declared_names
from mirror.schema.columns import Columns, NotMirrorable, columns_of
from mirror.schema.compare import can_hold
from mirror.schema.field_code import field_lines
from mirror.schema.model_code import Choice, column_lines


class NoModel(LookupError):
    """No installed app has a model of the object, or its code cannot be read."""


@dataclass
class _Edits:
    """Changes of a class's lines, by line number from 1."""

    replaced: dict[int, tuple[int, list[str]]] = field(default_factory=dict)
    added_after: dict[int, list[str]] = field(default_factory=dict)

    def applied(self, lines: list[str]) -> list[str]:
        result: list[str] = []
        number = 1
        while number <= len(lines):
            end, new = self.replaced.get(number, (number, [lines[number - 1]]))
            result += new
            for passed in range(number, end + 1):
                result += self.added_after.get(passed, [])
            number = end + 1
        return result


def models_of(name: str) -> list[type[models.Model]]:
    """Return the installed models of an object."""
    return [
        model for model in apps.get_models() if getattr(model, "salesforce_object", None) == name
    ]


def diff(choice: Choice, model: type[models.Model], *, without: Iterable[str] = ()) -> str:
    """Return the changes of the model's file as a unified diff, empty if there are none.

    Columns are added for the chosen fields that the model lacks, removed with their fields, and
    changed where they cannot hold the field's type any more. The fields of `without` have no
    column, although by their names they would take over an existing one. Raises NoModel.
    """
    try:
        columns = columns_of(model).against(choice.described.types, without=without)
    except NotMirrorable as error:
        raise NoModel(str(error)) from None
    path, lines = _source(model)
    edits = _edits(choice, columns, _assignments(_class_body(model, lines), lines))
    changed = edits.applied(lines)
    shown = os.path.relpath(path)
    return "".join(
        f"{line}\n"
        for line in difflib.unified_diff(lines, changed, f"a/{shown}", f"b/{shown}", lineterm="")
    )


def _source(model: type[models.Model]) -> tuple[Path, list[str]]:
    try:
        path = Path(inspect.getsourcefile(model) or "")
        return path, path.read_text("utf-8").splitlines()
    except (OSError, TypeError, UnicodeDecodeError):
        raise NoModel(f"The code of {model._meta.label} cannot be read.") from None


def _class_body(model: type[models.Model], lines: list[str]) -> ast.ClassDef:
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.ClassDef) and node.name == model.__name__:
            return node
    raise NoModel(f"The code of {model._meta.label} cannot be found in its module.")


def _edits(choice: Choice, columns: Columns, assigned: dict[str, tuple[int, int]]) -> _Edits:
    edits = _Edits()
    names_of_columns = {column.name for column in columns.columns.values()} | {"salesforce_id"}
    last = max((end for name, (_, end) in assigned.items() if name in names_of_columns), default=0)
    for name, column in columns.fields.items():
        described = choice.described.fields[name]
        if column.name in assigned and not can_hold(column, described):
            start, end = assigned[column.name]
            edits.replaced[start] = end, field_lines(column.name, described)
    removed = {
        column.attname
        for column in columns.missing.values()
        if column.name in assigned and not column.has_default()
    }
    for attname in removed:
        start, end = assigned[columns.columns[attname].name]
        edits.replaced[start] = end, []
    new = [each for each in choice.fields if each.name not in columns.fields]
    taken = {column.attname for column in columns.model._meta.concrete_fields}
    names = column_names(choice.described.fields, [each.name for each in new], taken=taken)
    lines = [line for each in new for line in column_lines(each, names)]
    if lines:
        edits.added_after[last or max(end for _, end in assigned.values())] = lines
    held = {name: column.attname for name, column in columns.fields.items()}
    declared = declared_names(choice.described.fields, held | names)
    kept = {column: name for column, name in columns.declared.items() if column not in removed}
    _declare(edits, columns, kept | declared, assigned)
    return edits


def _declare(
    edits: _Edits,
    columns: Columns,
    declared: dict[str, str],
    assigned: dict[str, tuple[int, int]],
) -> None:
    """Make `salesforce_fields` declare these names."""
    if declared == columns.declared:
        return
    pairs = (f'        "{column}": "{name}",' for column, name in declared.items())
    lines = ["    salesforce_fields = {", *pairs, "    }"] if declared else []
    if "salesforce_fields" in assigned:
        start, end = assigned["salesforce_fields"]
        edits.replaced[start] = end, lines
    elif "salesforce_object" in assigned:
        _, end = assigned["salesforce_object"]
        edits.added_after.setdefault(end, []).extend(lines)


def _assignments(body: ast.ClassDef, lines: list[str]) -> dict[str, tuple[int, int]]:
    """Return the first and the last line of each assignment in the class, by name, with the
    comments right above it."""
    found: dict[str, tuple[int, int]] = {}
    for node in body.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                start = node.lineno
                while lines[start - 2].lstrip().startswith("#"):
                    start -= 1
                found[name] = start, node.end_lineno or node.lineno
    return found
