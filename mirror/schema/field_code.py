"""The source code of one field of a generated model."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import east_asian_width

import django

from mirror.schema.described import INTEGERS, NUMBERS, REFERENCES, STRUCTURES, DescribedField

#: Longer lines are split by argument, which ruff keeps at every line length from this one up.
LINE = 88
_TIMES = {"date": "DateField", "datetime": "DateTimeField", "time": "TimeField"}
#: Without digits, the column is a numeric of any precision; Django allows that from 6.1.
_DIGITS = [] if django.VERSION >= (6, 1) else ["max_digits=38", "decimal_places=18"]


def field_lines(column: str, field: DescribedField) -> list[str]:
    """Return the lines of the column, indented for the body of a class."""
    kind, arguments = _kind(field)
    arguments = [*arguments, "null=True"]
    if field.type in REFERENCES or field.is_external_id:
        arguments.append("db_index=True")
    if text := _help_text(field):
        arguments.append(f"help_text={quoted(text)}")
    return [*_comments(field), *assignment(column, f"models.{kind}", arguments)]


def type_lines(column: str, reference: str) -> list[str]:
    """Return the lines of the column for the object that a polymorphic reference points to."""
    text = f"The object that {reference} points to."
    return assignment(column, "models.TextField", ["null=True", f"help_text={quoted(text)}"])


def assignment(name: str, call: str, arguments: Sequence[str]) -> list[str]:
    line = f"    {name} = {call}({', '.join(arguments)})"
    if _width(line) <= LINE:
        return [line]
    return [
        f"    {name} = {call}(",
        *(f"        {argument}," for argument in arguments),
        "    )",
    ]


def _width(line: str) -> int:
    """Return the columns of a terminal that the line takes, as ruff counts them."""
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in line)


def quoted(text: str) -> str:
    """Return a literal in double quotes, or in single ones where that saves escapes."""
    escaped = "".join(
        char if char.isprintable() and char != "\\" else repr(char)[1:-1] for char in text
    )
    if text.count('"') > text.count("'"):
        return "'{}'".format(escaped.replace("'", "\\'"))
    return '"{}"'.format(escaped.replace('"', '\\"'))


def _kind(field: DescribedField) -> tuple[str, list[str]]:
    if field.type in REFERENCES:
        return "CharField", ["max_length=18"]
    if field.type == "boolean":
        return "BooleanField", []
    if field.type in INTEGERS:
        return "BigIntegerField", []
    if field.type in NUMBERS:
        return ("FloatField", []) if field.precision < 0 else ("DecimalField", _DIGITS)
    if field.type in STRUCTURES:
        return "JSONField", []
    return _TIMES.get(field.type, "TextField"), []


def _help_text(field: DescribedField) -> str:
    text = field.label or field.name
    if field.type in REFERENCES and field.targets:
        text = f"{text}: the id of {_one_of(field.targets)}"
    return f"{text}. {field.help}" if field.help else text


def _one_of(names: Sequence[str]) -> str:
    shown = [f"{'an' if name[0] in 'AEIO' else 'a'} {name}" for name in names[:6]]
    if len(names) > len(shown):
        return f"{', '.join(shown)} or one of {len(names) - len(shown)} other objects"
    return " or ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _comments(field: DescribedField) -> list[str]:
    comments = []
    if field.is_rollup:
        comments.append("Roll-up summary, read-only.")
    elif field.is_calculated:
        comments.append("Formula, read-only. Change events do not report changes of this field;")
        comments.append("it is refreshed on a schedule.")
    if field.type == "encryptedstring":
        comments.append("Encrypted: masked for users without View Encrypted Data.")
    if field.type == "multipicklist":
        comments.append("The choices are separated by semicolons, in no particular order.")
    return [f"    # {comment}" for comment in comments]
