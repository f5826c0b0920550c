"""The fields that a mirror's columns hold: a field that is added in the org takes over no column.

By the rule of names, the column `region` holds the standard field `Region` as soon as there is one,
although it was made for `Region__c`. The former field keeps it until the model says otherwise, with
`salesforce_fields` or a column for the other field.
"""

from __future__ import annotations

from collections.abc import Mapping

from mirror.models import Mirror
from mirror.schema.columns import Columns, columns_of, model_named
from mirror.schema.naming import column_name


def columns_for(mirror: Mirror, types: Mapping[str, str]) -> Columns:
    """Return the columns of the mirror's model with the fields of its object. Raises NotMirrorable.

    `types` are the object's fields; the mirror says which field each column held before.
    """
    columns = columns_of(model_named(mirror.model))
    return columns.against(types, without=newcomers(mirror, types))


def newcomers(mirror: Mirror, types: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that would take over a column, each with the field that keeps it."""
    columns = columns_of(model_named(mirror.model))
    found = {
        name: change["keeps"]
        for name, change in mirror.field_changes.items()
        if change.get("keeps") and name in types
    }
    added = types.keys() - mirror.described.keys() if mirror.described else set()
    if added:
        held = columns.against(mirror.described, without=found).fields
        by_rule = {column_name(name): name for name in held}
        found |= {
            name: by_rule[column_name(name)] for name in added if column_name(name) in by_rule
        }
    if not found:
        return {}
    names = {*types, *found.values()}
    plain, kept = columns.against(names).fields, columns.against(names, without=found).fields
    return {
        name: former for name, former in found.items() if former in kept and former not in plain
    }
