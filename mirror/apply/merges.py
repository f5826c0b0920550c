"""Finds the children of merged records: Salesforce moves them to another parent without an event.

A merge shows as the deletion of the merged record. Rows that still refer to it, in a column or in
`raw`, are read again. Records may have parents of their own object, such as accounts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.fields.json import KeyTransform

from handlers.listener_rest_client import rest_of
from listeners.salesforce.rest.records import long_id
from mirror.apply import dirty
from mirror.apply.dirty import MARGIN_MS, Mark, Reason
from mirror.models import Mirror
from mirror.schema.columns import Columns, columns_of, model_named
from mirror.schema.described import DescribedObject

#: The field that names the record that a merged one went into.
_MASTER = "MasterRecordId"
#: References to users, groups and record types, which are not merged, and of merged records.
_NO_PARENTS = frozenset({_MASTER, "OwnerId", "CreatedById", "LastModifiedById", "RecordTypeId"})
#: Records in one query.
_IDS = 200


def children_of(mirror: Mirror) -> list[Mirror]:
    """Return the mirrors of the listener whose rows may refer to merged records of this one, itself
    included."""
    return [child for child in _beside(mirror) if _may_refer(child, mirror)]


def parents_of(mirror: Mirror) -> list[Mirror]:
    """Return the mirrors of the listener to whose merged records rows of this one may refer, itself
    included."""
    return [parent for parent in _beside(mirror) if _may_refer(mirror, parent)]


def _beside(mirror: Mirror) -> QuerySet[Mirror]:
    found: QuerySet[Mirror] = Mirror.objects.filter(listener=mirror.listener_id)
    return found


def _may_refer(child: Mirror, parent: Mirror) -> bool:
    is_merged = not parent.described or _MASTER in parent.described
    return is_merged and (child.pk != parent.pk or bool(_references(child.described)))


def mark_children(mirror: Mirror, deleted: Mapping[str, int]) -> None:
    """Mark the children of those deleted records that were merged: they are read after the
    deletion, in ms since 1970, by record id.

    Salesforce is asked only if rows may name one of the records. `raw` has no index: it is searched
    only for records that were merged.
    """
    children = [_Children(child) for child in children_of(mirror)] if deleted else []
    if any(child.has_raw for child in children):
        named = set(deleted)
    else:
        named = {parent for child in children for _, parent in child.of(deleted)}
    merged = _merged(mirror, sorted(named)) if named else set[str]()
    for child in children if merged else ():
        dirty.mark_all(
            child.mirror,
            (
                Mark(record_id, deleted[parent], deleted[parent] - MARGIN_MS, Reason.MERGE)
                for record_id, parent in child.of(merged)
            ),
        )


class _Children:
    """The live rows of a mirror that may refer to parents."""

    def __init__(self, mirror: Mirror) -> None:
        columns: Columns = columns_of(model_named(mirror.model)).against(mirror.described)
        references = _references(mirror.described)
        fields = columns.fields
        self.mirror = mirror
        self._columns = [fields[name].attname for name in references if name in fields]
        self._in_raw = [name for name in references if name not in fields]
        rows = columns.model._base_manager.using(mirror.database)
        self._rows = rows.filter(is_deleted=False)

    @property
    def has_raw(self) -> bool:
        """Whether `raw` may have references to parents."""
        return bool(self._in_raw)

    def of(self, parents: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield the rows that refer to one of the parents, each with that parent."""
        ids = list(parents)
        for name in self._columns:
            yield from self._rows.filter(**{f"{name}__in": ids}).values_list("pk", name)
        if not self._in_raw:
            return
        # Not by lookups such as raw__Agency__c: two underscores part the keys of a path.
        keys = {f"key{n}": KeyTransform(name, "raw") for n, name in enumerate(self._in_raw)}
        is_named = reduce(or_, (Q(**{f"{key}__in": ids}) for key in keys))
        for record_id, raw in self._rows.alias(**keys).filter(is_named).values_list("pk", "raw"):
            yield from ((record_id, parent) for parent in _named(raw, self._in_raw, parents))


def _named(raw: Mapping[str, Any], names: Iterable[str], parents: Collection[str]) -> Iterator[str]:
    yield from (raw[name] for name in names if raw.get(name) in parents)


def _references(described: Mapping[str, str]) -> list[str]:
    """Return the fields that may refer to records which can be merged."""
    return sorted(
        name for name, kind in described.items() if kind == "reference" and name not in _NO_PARENTS
    )


def _merged(mirror: Mirror, ids: list[str]) -> set[str]:
    """Return those of the deleted records that were merged into others; none of an object whose
    records cannot be merged."""
    rest, merged = rest_of(mirror.listener), set[str]()
    described = (
        mirror.described or DescribedObject.read(rest.describe(mirror.salesforce_object)).types
    )
    if _MASTER not in described:
        return merged
    for start in range(0, len(ids), _IDS):
        listed = ", ".join(f"'{record_id}'" for record_id in ids[start : start + _IDS])
        soql = f"SELECT Id, {_MASTER} FROM {mirror.salesforce_object} WHERE Id IN ({listed})"
        for page in rest.query(soql, deleted=True):
            merged |= {long_id(str(row["Id"])) for row in page if row.get(_MASTER)}
    return merged
