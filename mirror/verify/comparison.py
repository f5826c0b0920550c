"""One mirror's comparison: both sides, the rules of its fields, and how far the stream has come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from handlers.listener_rest_client import rest_of
from handlers.models import Delivery
from listeners.models import Position
from listeners.salesforce.rest.records import RecordsRead
from mirror.apply.record_rows import prefixes_of
from mirror.column_holders import columns_for
from mirror.load.fields import ReadFields
from mirror.load.writer import Writer
from mirror.mappings import deliveries_of
from mirror.models import DirtyRow, Mirror
from mirror.proof import unread_from
from mirror.schema.described import DescribedObject
from mirror.schema.values import to_columns
from mirror.verify.compare import Compared, FieldRules, Mismatch, Row, compare, compare_gone
from mirror.verify.field_rules import rules_of
from mirror.verify.here import Here
from mirror.verify.there import MODIFIED, There, moment

#: Changes committed this shortly before the listener had caught up may still be on their way.
ON_ITS_WAY = timedelta(seconds=10)
_SHORT = 15


@dataclass(slots=True)
class Checked:
    """Records that were read, and how their rows compare."""

    read: RecordsRead
    compared: dict[str, Compared] = field(default_factory=dict)
    #: When each record was last changed or deleted, as far as Salesforce says.
    changed_at: dict[str, datetime] = field(default_factory=dict)

    @property
    def differing(self) -> list[str]:
        return [record_id for record_id, result in self.compared.items() if result.mismatches]

    @property
    def all_stale(self) -> dict[str, dict[str, Any]]:
        """The out-of-date formulas, also of records that differ in other fields."""
        return {key: result.stale for key, result in self.compared.items() if result.stale}

    @property
    def stale(self) -> dict[str, dict[str, Any]]:
        """The out-of-date formulas: columns to update, by record."""
        return {
            record_id: result.stale
            for record_id, result in self.compared.items()
            if result.stale and not result.mismatches
        }

    def mismatches(self, ids: Iterable[str]) -> list[Mismatch]:
        return [mismatch for record_id in ids for mismatch in self.compared[record_id].mismatches]


class Comparison:
    """Compares records of a mirror. Reads only; raises what RestClient raises."""

    def __init__(self, mirror: Mirror, only: Sequence[str] = ()) -> None:
        self.mirror = mirror
        self.rest = rest_of(mirror.listener, number=Decimal)
        description = self.rest.describe(mirror.salesforce_object)
        self.described = DescribedObject.read(description)
        self.read_fields = ReadFields.of(description)
        self._only = frozenset(only) or None
        columns = columns_for(mirror, self.read_fields.types)
        self.here = Here(columns, mirror.database)
        self.there = There(self.rest, self.read_fields)

    @cached_property
    def rules(self) -> FieldRules:
        """The rules, which depend on the changes of fields that are known when it is first used."""
        return rules_of(self.mirror, self.rest, self.read_fields.types, self._only)

    @cached_property
    def writer(self) -> Writer:
        writer = Writer(self.mirror, self.read_fields)
        writer.prefixes = self.prefixes
        return writer

    @cached_property
    def prefixes(self) -> Mapping[str, str]:
        """The org's objects by key prefix, for the types of references."""
        return prefixes_of(self.rest, self.here.columns)

    def check(self, ids: Sequence[str]) -> Checked:
        """Read at most MAX_IDS records, and compare each with its row."""
        read = self.there.read(ids)
        rows = self.here.rows(ids)
        checked = Checked(read)
        gone = [one for one in ids if one not in read.records and one not in read.refused]
        binned = self.there.binned([one for one in gone if one in rows]) if gone else {}
        for record_id, record in read.records.items():
            checked.compared[record_id] = self._compare(record_id, record, rows)
            if at := _changed_at(record):
                checked.changed_at[record_id] = at
        for record_id in gone:
            is_binned = record_id in binned
            row = rows.get(record_id)
            checked.compared[record_id] = compare_gone(record_id, row, is_binned=is_binned)
            if at := binned.get(record_id):
                checked.changed_at[record_id] = at
        return checked

    def differing(self, records: Sequence[Mapping[str, Any]]) -> Checked:
        """Compare records that a query returned, with 18-character ids."""
        by_id = {str(record["Id"]): dict(record) for record in records}
        rows = self.here.rows(list(by_id))
        compared = {key: self._compare(key, record, rows) for key, record in by_id.items()}
        return Checked(RecordsRead(0, by_id), compared)

    def _compare(
        self, record_id: str, record: Mapping[str, Any], rows: Mapping[str, Row]
    ) -> Compared:
        columns = self.here.columns
        converted = to_columns(columns, record, prefixes=self.prefixes)
        version = moment(record.get(MODIFIED))
        row = rows.get(record_id)
        return compare(columns, record_id, converted, row, self.rules, version=version)

    def on_their_way(self, checked: Checked, ids: Sequence[str]) -> set[str]:
        """Return those of the records whose changes the stream or a worker is still to apply."""
        horizon = self._horizon()
        found = {
            record_id
            for record_id in ids
            if (at := checked.changed_at.get(record_id)) and (horizon is None or at >= horizon)
        }
        dirty = DirtyRow.objects.filter(mirror=self.mirror, record_id__in=ids)
        found |= {*dirty.values_list("record_id", flat=True)}
        return found | self._undelivered(ids)

    def _undelivered(self, ids: Sequence[str]) -> set[str]:
        by_id = {one: one for one in ids} | {one[:_SHORT]: one for one in ids}
        unended = deliveries_of(self.mirror, *Delivery.UNENDED).filter(
            entry__record_id__in=list(by_id)
        )
        return {by_id[one] for one in unended.values_list("entry__record_id", flat=True)}

    def _horizon(self) -> datetime | None:
        """Return the time until which all changes are recorded; None: unknown.

        Changes that a sweep is to read are not on the way of the stream, and later than that time.
        A stream that is never idle does not catch up; its last event shows how far it has come.
        """
        found = Position.objects.filter(pk=self.mirror.listener_id)
        times = found.values_list("caught_up_at", "last_event_at").first() or ()
        known = [at for at in times if at is not None]
        # Read again: gaps are searched for while this runs.
        mirror = Mirror.objects.get(pk=self.mirror.pk)
        return min([max(known) - ON_ITS_WAY, *unread_from(mirror)]) if known else None


def _changed_at(record: dict[str, Any]) -> datetime | None:
    times = (moment(record.get(name)) for name in (MODIFIED, "SystemModstamp"))
    return max(filter(None, times), default=None)
