"""Masking of sensitive fields: which fields match a listener's patterns, and how they are masked.

A pattern is Field, Entity.Field or Entity.Field.Part; `*` stands for any text and case is ignored.
A pattern that matches a field also matches everything nested in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

from listeners import wildcards

Path = tuple[str, ...]
#: Paths to sensitive fields, from the top level down; each step is a lower-case wildcard pattern.
Fields = tuple[Path, ...]

EXAMPLES = "SSN__c, Contact.Birthdate, *.Name.LastName"
MOST_PATTERNS = 500
_PATTERN = re.compile(r"[\w*]+(\.[\w*]+){0,2}")
#: Values shorter than this are redacted only as whole words; single characters never are.
_LONG = 4


def flaws(patterns: Any) -> list[str]:
    """Return the errors in a list of patterns; empty when the list is valid."""
    if not isinstance(patterns, list):
        return [f"Enter a list of fields, such as {EXAMPLES}."]
    if len(patterns) > MOST_PATTERNS:
        return [f"The list has {len(patterns):,} patterns; the maximum is {MOST_PATTERNS}."]
    return [flaw for pattern in patterns if (flaw := _flaw(pattern))]


def _flaw(pattern: Any) -> str:
    if isinstance(pattern, str) and (limit_flaw := wildcards.flaw(pattern)):
        return limit_flaw
    if isinstance(pattern, str) and _PATTERN.fullmatch(pattern):
        return ""
    return (
        f"{pattern!r:.60} is not a field pattern. Use Field, Entity.Field or Entity.Field.Part, "
        f"such as {EXAMPLES}; * stands for any text."
    )


@lru_cache(maxsize=1024)
def fields_of(patterns: Path, entity: str) -> Fields:
    """Return the paths of the sensitive fields in changes of one entity."""
    paths = [tuple(pattern.casefold().split(".")) for pattern in patterns]
    name = entity.casefold()
    return tuple(
        path[1:] or path for path in paths if len(path) == 1 or wildcards.matches(path[0], name)
    )


def masked(data: Mapping[str, Any], fields: Fields, mask: str) -> dict[str, Any]:
    """Return a copy of `data`, with `mask` in place of each sensitive value."""
    return {name: _masked(value, (name,), fields, mask) for name, value in data.items()}


def is_meant(path: Path, fields: Fields) -> bool:
    """Return whether the field at `path` is sensitive, by itself or as part of another."""
    names = [name.casefold() for name in path]
    return any(len(steps) <= len(names) and _fits(steps, names) for steps in fields)


def is_touched(path: Path, fields: Fields) -> bool:
    """Return whether the field at `path`, or a field nested in it, is sensitive."""
    names = [name.casefold() for name in path]
    return any(_fits(steps, names) for steps in fields)


def _fits(steps: Path, names: list[str]) -> bool:
    """Return whether the steps match the names, up to the end of the shorter of the two."""
    return all(wildcards.matches(step, name) for step, name in zip(steps, names, strict=False))


def redacted(text: str, data: Mapping[str, Any], fields: Fields, mask: str) -> str:
    """Return `text` about a change, such as an error, with `mask` in place of sensitive values.

    Finds values only in the forms that `_forms` lists, not values that the text has transformed.
    """
    return without(text, sensitive_values(data, fields), mask)


def sensitive_values(data: Mapping[str, Any], fields: Fields) -> set[str]:
    """Return the sensitive values of `data` in the forms in which a text may quote them."""
    return {form for value in _values(data, (), fields) for form in _forms(value)}


def without(text: str, values: Collection[str], mask: str) -> str:
    """Return `text` with `mask` in place of the values."""
    if cut := max((_begun_with(text, value) for value in values), default=0):
        text = mask + text[cut:]
    long_first = sorted((value for value in values if value in text), key=len, reverse=True)
    if not long_first:
        return text
    return re.sub("|".join(map(_sought, long_first)), lambda _: mask, text)


def _masked(value: Any, path: Path, fields: Fields, mask: str) -> Any:
    if isinstance(value, Mapping) and value:
        return {name: _masked(part, (*path, name), fields, mask) for name, part in value.items()}
    return mask if is_meant(path, fields) else value


def _values(value: Any, path: Path, fields: Fields) -> Iterator[str]:
    match value:
        case Mapping():
            for name, part in value.items():
                yield from _values(part, (*path, name), fields)
        case list():
            for item in value:
                yield from _values(item, path, fields)
        case str() | int() | float() if not isinstance(value, bool) and is_meant(path, fields):
            yield str(value)


def _forms(value: str) -> Iterator[str]:
    """Yield the forms in which an error text may quote the value: plain, Python and JSON."""
    as_json = (json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
    for form in (value.strip(), repr(value)[1:-1], *as_json):
        if len(form) > 1:
            yield form


def _begun_with(text: str, value: str) -> int:
    """Return how many characters at the start of `text` are the tail of `value`.

    Only the end of a long error is stored, and the cut may fall inside a value.
    """
    start = text[:_LONG]
    shortest = max(1, len(value) - len(text))  # a longer end would not fit into the text
    place = value.find(start, shortest) if len(start) == _LONG else -1
    while place != -1:
        if text.startswith(value[place:]):
            return len(value) - place
        place = value.find(start, place + 1)
    return 0


def _sought(value: str) -> str:
    found = re.escape(value)
    return found if len(value) >= _LONG else rf"(?<!\w){found}(?!\w)"
