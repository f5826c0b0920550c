"""Choose a column's name for each field of an object."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from django.db import models

from mirror.schema.columns import names_by_column
from mirror.schema.naming import LONGEST, OWN, column_name

#: Attributes of the model, and `models`, whose place in the class's body a column would take.
_TAKEN = frozenset(
    {
        *dir(models.Model),
        *("id", "models", "objects", "all_objects", "salesforce_object", "salesforce_fields"),
    }
)


def column_names(
    described: Iterable[str], chosen: Iterable[str], *, taken: Collection[str] = ()
) -> dict[str, str]:
    """Return the columns' names by API name for the chosen fields of an object.

    `described` are all its fields, and `taken` names of columns that the model has already. The
    names follow the rule where that is possible.
    """
    names = list(described)
    by_rule = {name: column for column, name in names_by_column(names).items()}
    used = {*by_rule.values(), *taken}
    columns: dict[str, str] = {}
    for name in chosen:
        column = by_rule.get(name, "")
        if column in taken or not _is_possible(column):
            column = _free_name(column_name(name), used)
            used.add(column)
        columns[name] = column
    return columns


def declared_names(described: Iterable[str], columns: dict[str, str]) -> dict[str, str]:
    """Return `salesforce_fields`: the API names of columns that do not follow the rule."""
    by_rule = names_by_column(described)
    return {column: name for name, column in columns.items() if by_rule.get(column) != name}


def _is_possible(column: str) -> bool:
    return bool(column) and len(column) <= LONGEST and column not in _TAKEN


def _free_name(wanted: str, taken: Collection[str]) -> str:
    if len(wanted) > LONGEST:
        digest = hashlib.sha256(wanted.encode()).hexdigest()[:6]
        wanted = f"{wanted[: LONGEST - 7].rstrip('_')}_{digest}"
    elif not _is_possible(wanted) or wanted in OWN:
        wanted = f"{wanted}_field"
    free, number = wanted, 2
    while free in taken:
        free, number = f"{wanted[: LONGEST - 4]}_{number}", number + 1
    return free
