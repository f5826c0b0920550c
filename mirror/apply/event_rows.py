"""The rows of changes, for `event.record`, and the records whose rows are not decided yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mirror.models import DirtyRow, Mirror
from mirror.schema.columns import model_named


def rows(listener_id: int, entity: str, record_ids: Collection[str]) -> Mapping[str, Any]:
    """Return the rows of these records that exist, also deleted ones, by record id."""
    mirror = Mirror.objects.filter(listener=listener_id, salesforce_object=entity).first()
    if mirror is None:
        return {}
    every = model_named(mirror.model)._base_manager.using(mirror.database)
    found = every.filter(pk__in=list(record_ids))
    return {row.pk: row for row in found}


def unread(listener_id: int, entity: str, record_ids: Collection[str]) -> set[str]:
    """Return the records whose rows are not decided until they are read from Salesforce."""
    dirty = DirtyRow.objects.filter(
        mirror__listener=listener_id,
        mirror__salesforce_object=entity,
        record_id__in=list(record_ids),
    )
    return set(dirty.values_list("record_id", flat=True))
