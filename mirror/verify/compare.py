"""Compares records of Salesforce with the stored rows, field by field. Pure.

Fields whose values change without an event (formulas among them) are apart: they may be out of
date, which is no difference. A field that the record lacks is not compared: the user may not see
it, and its column keeps the last value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mirror.models import Difference
from mirror.schema.columns import Columns
from mirror.schema.naming import NOT_KEPT
from mirror.schema.values import Converted, relation_of
from mirror.verify.equality import is_equal
from mirror.verify.there import MODIFIED

Reason = Difference.Reason
IS_DELETED = "IsDeleted"
#: Fields that describe the read, the user or the row itself.
_OWN = NOT_KEPT | {"attributes", "Id", IS_DELETED}
_TIMES = frozenset({MODIFIED, "SystemModstamp"})
#: The end of the name under which the type of a polymorphic reference is compared: `What.Type`.
TYPE = ".Type"
#: Types that a query does not return as one value.
_COMPOUND = frozenset({"address", "location", "base64", "complexvalue"})
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A value that differs; without `field`, the whole row does."""

    record_id: str
    field: str
    here: Any
    there: Any
    reason: Reason = Reason.UNEXPLAINED

    @property
    def is_deletion(self) -> bool:
        """Whether the row is of a record that Salesforce does not have."""
        return self.field == IS_DELETED and self.there is True


@dataclass(frozen=True)
class FieldRules:
    """An object's fields: their describe types, those whose values change without an event, and
    the reasons why some values may differ although every event was applied."""

    types: Mapping[str, str] = field(default_factory=dict)
    uncarried: frozenset[str] = frozenset()
    reasons: Mapping[str, Reason] = field(default_factory=dict)
    #: The only fields to compare; None: all.
    only: frozenset[str] | None = None

    @property
    def readable(self) -> list[str]:
        """The fields that a query returns and a comparison needs; times of change among them."""
        return [
            name
            for name, kind in self.types.items()
            if kind not in _COMPOUND and (self.has(name) or name in _TIMES)
        ]

    def has(self, name: str) -> bool:
        """Return whether a field is compared. One that became visible after the object was
        described is not: the next description has it. `What.Type` is the type of a reference."""
        is_known = name in self.types or name.endswith(TYPE)
        is_described = is_known and name not in _OWN
        return is_described and (self.only is None or name in self.only)


@dataclass(slots=True)
class Compared:
    """The differences of a record, and its out-of-date formulas as columns to update."""

    mismatches: list[Mismatch] = field(default_factory=list)
    stale: dict[str, Any] = field(default_factory=dict)


def compare(
    columns: Columns,
    record_id: str,
    converted: Converted,
    row: Row | None,
    rules: FieldRules,
    *,
    version: datetime | None,
) -> Compared:
    """Compare an existing record, as the values of columns and its LastModifiedDate, with its
    row."""
    if row is None or not row["is_complete"]:
        return Compared([Mismatch(record_id, "", None, "exists", Reason.MISSING_ROW)])
    if row["is_deleted"]:
        return Compared([Mismatch(record_id, IS_DELETED, True, False, Reason.NOT_DELETED)])
    result = Compared()
    for name, here, there, attname in _pairs(columns, converted, row):
        if here == there or not rules.has(name):
            continue
        if is_equal(here, there, rules.types.get(name, "")):
            continue
        if name in rules.uncarried:
            if attname:
                result.stale[attname] = there
            continue
        reason = rules.reasons.get(name, Reason.UNEXPLAINED)
        result.mismatches.append(Mismatch(record_id, name, here, there, reason))
    is_known = any(mismatch.field == MODIFIED for mismatch in result.mismatches)
    if _is_newer(row["version"], version) and rules.has(MODIFIED) and not is_known:
        result.mismatches.append(Mismatch(record_id, MODIFIED, row["version"], version))
    return result


def _is_newer(version: datetime | None, actual: datetime | None) -> bool:
    """Return whether a row has a later version than its record, which makes the guard skip changes
    and reads of the record. An earlier one does no harm: the next change or read replaces it."""
    if version is None or actual is None:
        return False
    return version.replace(microsecond=0) > actual.replace(microsecond=0)


def compare_gone(record_id: str, row: Row | None, *, is_binned: bool) -> Compared:
    """Compare the row of a record that Salesforce does not have, or has in the Recycle Bin."""
    if row is None or row["is_deleted"]:
        return Compared()
    reason = Reason.UNEXPLAINED if is_binned else Reason.HARD_DELETED
    return Compared([Mismatch(record_id, IS_DELETED, False, True, reason)])


def _pairs(columns: Columns, converted: Converted, row: Row) -> Iterator[tuple[str, Any, Any, str]]:
    """Yield each field of the record with both values, and its column's name, if it has one.

    A value that does not fit its column is in `raw` on both sides.
    """
    values = converted.values
    for name, column in columns.fields.items():
        attname = column.attname
        if attname in values:
            yield name, row[attname], values[attname], attname
    for name, column in columns.types.items():
        if column.attname in values:
            yield relation_of(name) + TYPE, row[column.attname], values[column.attname], ""
    raw = row["raw"] or {}
    for name, value in converted.raw.items():
        yield name, raw.get(name), value, ""
