"""The changes that a model's code needs to match its object in the org, as a unified diff."""

from __future__ import annotations

import ast
import difflib
import inspect
import os
from dataclasses import dataclass, field
from pathlib import Path

from django.apps import apps
from django.db import models

from mirror.schema.column_names import column_names, declared_names
from mirror.schema.columns import Columns, NotMirrorable, columns_of
from mirror.schema.compare import can_hold
from mirror.schema.field_code import field_lines
from mirror.schema.model_code import Choice, column_lines
from mirror.schema.naming import OWN


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


def diff(choice: Choice, model: type[models.Model]) -> str:
    """Return the changes of the model's file as a unified diff, empty if there are none.

    Columns are added for the chosen fields that the model lacks, removed with their fields, and
    changed where they cannot hold the field's type any more. Raises NoModel.
    """
    try:
        columns = columns_of(model).against(choice.described.types)
    except NotMirrorable as error:
        raise NoModel(str(error)) from None
    path, lines = _source(model)
    edits = _edits(choice, columns, _class_body(model, lines))
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


def _edits(choice: Choice, columns: Columns, body: ast.ClassDef) -> _Edits:
    assigned = _assignments(body)
    edits = _Edits()
    last = max((end for name, (_, end) in assigned.items() if name not in OWN), default=0)
    for name, column in columns.fields.items():
        described = choice.described.fields[name]
        if column.name in assigned and not can_hold(column, described):
            start, end = assigned[column.name]
            edits.replaced[start] = end, field_lines(column.name, described)
    for column in columns.missing.values():
        if column.name in assigned and not column.has_default():
            start, end = assigned[column.name]
            edits.replaced[start] = end, []
    new = [each for each in choice.fields if each.name not in columns.fields]
    names = column_names(choice.described.fields, [each.name for each in new])
    taken = {column.attname for column in columns.model._meta.concrete_fields}
    lines = [line for each in new for line in column_lines(each, names)]
    if lines:
        edits.added_after[last or body.body[-1].end_lineno or body.lineno] = lines
    _declare(edits, columns, declared_names(choice.described.fields, names), assigned, taken)
    return edits


def _declare(
    edits: _Edits,
    columns: Columns,
    declared: dict[str, str],
    assigned: dict[str, tuple[int, int]],
    taken: set[str],
) -> None:
    """Add the names that do not follow the rule to `salesforce_fields`."""
    if not declared:
        return
    pairs = {**columns.declared, **declared}
    lines = [
        "    salesforce_fields = {",
        *(f'        "{a}": "{b}",' for a, b in pairs.items()),
        "    }",
    ]
    if "salesforce_fields" in assigned:
        start, end = assigned["salesforce_fields"]
        edits.replaced[start] = end, lines
    elif "salesforce_object" in assigned:
        _, end = assigned["salesforce_object"]
        edits.added_after.setdefault(end, []).extend(lines)


def _assignments(body: ast.ClassDef) -> dict[str, tuple[int, int]]:
    """Return the first and the last line of each assignment in the class, by name."""
    found: dict[str, tuple[int, int]] = {}
    for node in body.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = node.lineno, node.end_lineno or node.lineno
    return found
