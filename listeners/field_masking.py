"""Fields whose values are for few eyes: which they are, and how they are masked.

A pattern is Field, Entity.Field or Entity.Field.Part, where * stands for any text, and upper and
lower case are the same. What is below a field that is meant is meant too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from listeners import wildcards

Path = tuple[str, ...]
#: A pattern for each step of a path to a field, from the top, in lower case.
Fields = tuple[Path, ...]

EXAMPLES = "SSN__c, Contact.Birthdate, *.Name.LastName"
MOST_PATTERNS = 500
_PATTERN = re.compile(r"[\w*]+(\.[\w*]+){0,2}")
#: Shorter values are looked for in texts as whole words, and single characters not at all.
_LONG = 4


def flaws(patterns: Any) -> list[str]:
    if not isinstance(patterns, list):
        return [f"Give a list of fields, such as {EXAMPLES}."]
    if len(patterns) > MOST_PATTERNS:
        return [f"It lists {len(patterns):,} patterns; list {MOST_PATTERNS} at most."]
    return [flaw for one in patterns if (flaw := _flaw(one))]


def _flaw(pattern: Any) -> str:
    if isinstance(pattern, str) and (silly := wildcards.flaw(pattern)):
        return silly
    if isinstance(pattern, str) and _PATTERN.fullmatch(pattern):
        return ""
    return (
        f"{pattern!r:.60} names no field. Write Field, Entity.Field or Entity.Field.Part, such as "
        f"{EXAMPLES}; * stands for any text."
    )


@lru_cache(maxsize=1024)
def fields_of(patterns: Path, entity: str) -> Fields:
    """What the patterns mean in the changes of one entity."""
    paths = [tuple(one.casefold().split(".")) for one in patterns]
    name = entity.casefold()
    return tuple(
        path[1:] or path for path in paths if len(path) == 1 or wildcards.matches(path[0], name)
    )


def masked(data: Mapping[str, Any], fields: Fields, mask: str) -> dict[str, Any]:
    """The same fields, and their parts, with `mask` in place of each value that is meant."""
    return {name: _masked(value, (name,), fields, mask) for name, value in data.items()}


def is_meant(path: Path, fields: Fields) -> bool:
    names = [name.casefold() for name in path]
    return any(len(steps) <= len(names) and _fits(steps, names) for steps in fields)


def is_touched(path: Path, fields: Fields) -> bool:
    """Whether it is meant, or something below it."""
    names = [name.casefold() for name in path]
    return any(_fits(steps, names) for steps in fields)


def _fits(steps: Path, names: list[str]) -> bool:
    """As far as both go."""
    return all(wildcards.matches(step, name) for step, name in zip(steps, names, strict=False))


def redacted(text: str, data: Mapping[str, Any], fields: Fields, mask: str) -> str:
    """A text about a change, such as an error, without the values that are meant, as far as they
    stand in it as they are."""
    values = {form for value in _values(data, (), fields) for form in _forms(value)}
    if cut := max((_begun_with(text, value) for value in values), default=0):
        text = mask + text[cut:]
    long_first = sorted((value for value in values if value in text), key=len, reverse=True)
    if not long_first:
        return text
    return re.sub("|".join(map(_sought, long_first)), lambda _: mask, text)


def _masked(value: Any, path: Path, fields: Fields, mask: str) -> Any:
    if isinstance(value, Mapping) and value:
        return {name: _masked(one, (*path, name), fields, mask) for name, one in value.items()}
    return mask if is_meant(path, fields) else value


def _values(value: Any, path: Path, fields: Fields) -> Iterator[str]:
    match value:
        case Mapping():
            for name, one in value.items():
                yield from _values(one, (*path, name), fields)
        case list():
            for one in value:
                yield from _values(one, path, fields)
        case str() | int() | float() if not isinstance(value, bool) and is_meant(path, fields):
            yield str(value)


def _forms(value: str) -> Iterator[str]:
    """As a text has it, and as Python and JSON write it in one."""
    as_json = (json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
    for form in (value.strip(), repr(value)[1:-1], *as_json):
        if len(form) > 1:
            yield form


def _begun_with(text: str, value: str) -> int:
    """How much of the text's beginning is the end of a value: of a long error only the last part is
    kept, and a value may have been cut there."""
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
