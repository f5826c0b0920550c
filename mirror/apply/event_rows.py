"""The rows of changes, for `event.record`, and the records and mirrors whose rows are not decided
yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.db.models import Exists, OuterRef

from mirror.models import DirtyRow, Mirror, MirrorRun
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


def unloaded() -> Mapping[tuple[int, str], bool]:
    """Return the mirrors whose first load has not succeeded, by listener and object, each with
    whether one is under way or requested."""
    loads = MirrorRun.objects.filter(
        mirror=OuterRef("pk"), kind=MirrorRun.Kind.LOAD, state__in=MirrorRun.UNENDED
    )
    found = Mirror.objects.filter(in_sync_since=None).order_by()
    rows = found.values_list("listener_id", "salesforce_object", Exists(loads))
    return {(listener_id, entity): is_loading for listener_id, entity, is_loading in rows}
