"""Finds the children of merged records: Salesforce moves them to another parent without an event.

A merge shows as the deletion of the merged record. Rows that still refer to it, in a column or in
`raw`, are read again. Records may have parents of their own object, such as accounts. Each mirror
searches the deletions of its parents, which may be recorded by other listeners of the org.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.fields.json import KeyTransform

from audit.models import AuditLogEntry
from handlers.listener_rest_client import rest_of
from listeners.models import Position
from listeners.salesforce.rest.records import long_id
from mirror.apply import arrived, dirty
from mirror.apply.dirty import MARGIN_MS, Mark, Reason
from mirror.apply.gap_scan import ROWS, last_entry_ids
from mirror.apply.guard import milliseconds
from mirror.column_holders import columns_for
from mirror.models import Mirror, MirrorRun
from mirror.schema.columns import Columns
from mirror.schema.described import DescribedObject

#: The field that names the record that a merged one went into.
_MASTER = "MasterRecordId"
#: References to users, groups and record types, which are not merged, and of merged records.
_NO_PARENTS = frozenset({_MASTER, "OwnerId", "CreatedById", "LastModifiedById", "RecordTypeId"})
#: A gap event may stand for the deletion.
_DELETIONS = ("DELETE", "GAP_DELETE")
#: Runs that write what they read some time before.
_READING = (MirrorRun.Kind.LOAD, MirrorRun.Kind.SWEEP)
_ALWAYS = 2**63
#: Records in one query.
_IDS = 200


def possible(mirror: Mirror) -> QuerySet[AuditLogEntry]:
    """Return the deletions that were not searched for merges, which may have moved records of this
    mirror to another parent without an event."""
    found: QuerySet[AuditLogEntry] = AuditLogEntry.objects.none()
    for listener_id, parents in _parents(mirror).items():
        found |= _unsearched(mirror, listener_id, parents)
    return found


def other_listeners(mirror: Mirror) -> list[int]:
    """Return the listeners of possible parents that are not the mirror's own."""
    return [listener for listener in _parents(mirror) if listener != mirror.listener_id]


def is_due(mirror: Mirror, last_ids: Mapping[int, int]) -> bool:
    """Return whether there are deletions that can be searched now; without any, the search has
    reached the newest entries of the listeners."""
    for listener_id, parents in _parents(mirror).items():
        last_id = last_ids.get(listener_id, 0)
        if last_id <= (_searched(mirror, listener_id) or 0):
            continue
        first = _unsearched(mirror, listener_id, parents).order_by("pk").first()
        if first is None:
            _advance(mirror, listener_id, last_id)
        elif first.commit_timestamp < _applied_until(mirror, listener_id):
            return True
    return False


def search(mirror: Mirror) -> None:
    """Mark the rows whose parents were merged since the last search, as far as the rows have what
    was committed before. Never inside a transaction. Raises errors of Salesforce, after which the
    search continues from the same entry."""
    last_ids = last_entry_ids([*_parents(mirror)])
    for listener_id, parents in _parents(mirror).items():
        while _search_page(mirror, listener_id, parents, last_ids.get(listener_id, 0)):
            pass


def _search_page(mirror: Mirror, listener_id: int, parents: Sequence[Mirror], last_id: int) -> bool:
    """Search a page of deletions; return whether another one is left to be searched now."""
    found = _unsearched(mirror, listener_id, parents).filter(pk__lte=last_id).order_by("pk")
    entries = list(found[:ROWS])
    until = entries[-1].pk if len(entries) == ROWS else last_id
    # Asked after the entries were read: whatever was recorded before them counts.
    applied_until = _applied_until(mirror, listener_id)
    held = next((one for one in entries if one.commit_timestamp >= applied_until), None)
    if held is not None:
        entries, until = entries[: entries.index(held)], held.pk - 1
    for parent in parents:
        deleted = {
            long_id(one.record_id): one.commit_timestamp
            for one in entries
            if one.entity_name == parent.salesforce_object
        }
        _mark_children(mirror, parent, deleted)
    _advance(mirror, listener_id, until)
    return held is None and until < last_id


def _applied_until(mirror: Mirror, listener_id: int) -> int:
    """Return the commit time, in ms since 1970, before which the rows have every change, by the
    listener's entries; 0 if they may get older values later.

    A change that is applied after the search could bring back a merged parent, and so could a page
    of a load or sweep that was read before the merge.
    """
    reading = mirror.runs.filter(kind__in=_READING, state__in=MirrorRun.UNENDED)
    if reading.filter(started_at__isnull=False).exists():
        return 0
    times = [*arrived.unapplied(mirror)]
    if listener_id != mirror.listener_id:  # the two are not recorded in one order
        received = arrived.received_until(Position.objects.filter(pk=mirror.listener_id).first())
        times.append(0 if received is None else milliseconds(received))
    return min(times, default=_ALWAYS)


def _searched(mirror: Mirror, listener_id: int) -> int | None:
    """Return the listener's entry up to which deletions were searched; None before the first."""
    found: int | None = mirror.merges_searched.get(str(listener_id))
    return found


def _unsearched(
    mirror: Mirror, listener_id: int, parents: Sequence[Mirror]
) -> QuerySet[AuditLogEntry]:
    searched = _searched(mirror, listener_id)
    found: QuerySet[AuditLogEntry] = AuditLogEntry.objects.filter(
        Q(received_at__gte=mirror.created_at) if searched is None else Q(pk__gt=searched),
        change_type__in=_DELETIONS,
        listener=listener_id,
        entity_name__in=[parent.salesforce_object for parent in parents],
    )
    return found


def _advance(mirror: Mirror, listener_id: int, until: int) -> None:
    mirror.merges_searched = {**mirror.merges_searched, str(listener_id): until}
    Mirror.objects.filter(pk=mirror.pk).update(merges_searched=mirror.merges_searched)


def _parents(mirror: Mirror) -> dict[int, list[Mirror]]:
    """Return by listener the mirrors of the org to whose merged records rows of this one may refer,
    itself included."""
    found: dict[int, list[Mirror]] = {}
    if not _references(mirror.described):
        return found
    org = Mirror.objects.filter(listener__connection=mirror.listener.connection_id)
    for parent in org.select_related("listener__connection"):
        if not parent.described or _MASTER in parent.described:
            found.setdefault(parent.listener_id, []).append(parent)
    return found


def _mark_children(mirror: Mirror, parent: Mirror, deleted: Mapping[str, int]) -> None:
    """Mark the rows that refer to those deleted records of the parent's object that were merged:
    they are read after the deletion, in ms since 1970, by record id.

    Salesforce is asked only if rows may name one of the records. `raw` has no index: it is searched
    only for records that were merged.
    """
    if not deleted:
        return
    children = _Children(mirror)
    named = set(deleted) if children.has_raw else {key for _, key in children.of(deleted)}
    merged = _merged(parent, sorted(named)) if named else set[str]()
    dirty.mark_all(
        mirror,
        (
            Mark(record_id, deleted[key], deleted[key] - MARGIN_MS, Reason.MERGE)
            for record_id, key in (children.of(merged) if merged else ())
        ),
    )


class _Children:
    """The live rows of a mirror, with their references to parents."""

    def __init__(self, mirror: Mirror) -> None:
        columns: Columns = columns_for(mirror, mirror.described)
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
