"""Compares every field of every record of the org's store with the database, by raw SQL.

Independent of the product: it reads the store that the simulator exports, and has its own words for
the tables and its own conversions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import InvalidOperation
from itertools import islice
from typing import Any

from tests.chaos.mirror.copies import COPIES, DATE, NUMBER, TIME, Copy
from tests.chaos.mirror.database import Database, day, listed, moment, number
from tests.simulator.control_client import ControlClient

_PAGE = 500
#: Fields that no copy keeps: the row has its own columns for the first ones, and the last two
#: depend on the reader or move without a change of the record.
_NOT_KEPT = frozenset({"Id", "IsDeleted", "SystemModstamp", "LastViewedDate", "LastReferencedDate"})
_OWN = ("salesforce_id", "is_deleted", "is_complete", "raw")


@dataclass(slots=True)
class Checked:
    """The differences by kind, and the numbers of compared records and values."""

    records: int = 0
    values: int = 0
    violations: dict[str, list[str]] = field(
        default_factory=lambda: {"ghost": [], "missing": [], "different": []}
    )

    @property
    def total(self) -> int:
        return sum(map(len, self.violations.values()))


def check(
    org: ControlClient,
    database: Database,
    *,
    hidden: Mapping[str, frozenset[str]],
    left_out: Mapping[str, frozenset[str]] | None = None,
) -> Checked:
    """Compare all records. `hidden` are fields that the org does not show, by object; `left_out`
    are fields that are not compared."""
    checked = Checked()
    for copy in COPIES:
        skipped = (left_out or {}).get(copy.entity, frozenset())
        seen: set[str] = set()
        store = org.records(copy.entity)
        while page := list(islice(store, _PAGE)):
            seen.update(one["id"] for one in page)
            rows = _rows(database, copy, [one["id"] for one in page])
            for one in page:
                _check_record(checked, copy, one, rows.get(one["id"]), skipped, hidden)
        _check_ghosts(checked, database, copy, seen)
    return checked


def _rows(database: Database, copy: Copy, ids: list[str]) -> dict[str, dict[str, Any]]:
    names = [*_OWN, *(column for column, _ in copy.columns.values())]
    query = f"SELECT {', '.join(names)} FROM {copy.table} WHERE salesforce_id IN ({listed(ids)})"
    return {row[0]: dict(zip(names, row, strict=True)) for row in database.rows(query)}


def _check_ghosts(checked: Checked, database: Database, copy: Copy, seen: set[str]) -> None:
    live = "is_deleted = 0" if database.is_sqlite else "NOT is_deleted"
    for (record_id,) in database.rows(f"SELECT salesforce_id FROM {copy.table} WHERE {live}"):
        if record_id not in seen:
            checked.violations["ghost"].append(f"{copy.entity} {record_id}")


def _check_record(
    checked: Checked,
    copy: Copy,
    record: Mapping[str, Any],
    row: Mapping[str, Any] | None,
    skipped: frozenset[str],
    hidden: Mapping[str, frozenset[str]],
) -> None:
    checked.records += 1
    name = f"{copy.entity} {record['id']}"
    if record["deleted"]:
        if row is not None and not row["is_deleted"]:
            checked.violations["ghost"].append(f"{name}: it is in the Recycle Bin")
        return
    if row is None or row["is_deleted"] or not row["is_complete"]:
        state = "no row" if row is None else {key: row[key] for key in _OWN[1:3]}
        checked.violations["missing"].append(f"{name}: {state}")
        return
    raw = row["raw"] if isinstance(row["raw"], dict) else json.loads(row["raw"] or "{}")
    left = hidden.get(copy.entity, frozenset())
    for field_name, here, there, kind in _pairs(copy, record["fields"], row, raw, left):
        if field_name in skipped:
            continue
        checked.values += 1
        if not _is_equal(here, there, kind):
            text = f"{name}.{field_name}: {here!r:.100}, not {there!r:.100}"
            checked.violations["different"].append(text)


def _pairs(
    copy: Copy,
    fields: Mapping[str, Any],
    row: Mapping[str, Any],
    raw: Mapping[str, Any],
    hidden: frozenset[str],
) -> Iterator[tuple[str, Any, Any, str]]:
    """Yield each field with both values. A value that its column cannot hold is in `raw`."""
    for name, there in fields.items():
        if name in _NOT_KEPT or isinstance(there, dict) or name.endswith("Address"):
            continue  # the parts of a compound field are fields too
        if name in copy.columns and name not in raw:
            column, kind = copy.columns[name]
            yield name, row[column], there, kind
        else:
            yield name, raw.get(name), there, "raw"
    for name, here in raw.items():
        if name not in fields and name not in hidden:
            yield name, here, None, "raw"


def _is_equal(here: Any, there: Any, kind: str) -> bool:
    if here in (None, "") or there in (None, ""):
        return here in (None, "") and there in (None, "")
    try:
        if kind == TIME:
            return moment(here) == moment(there)
        if kind == DATE:
            return day(here) == day(str(there)[:10])
        if kind == NUMBER or _is_number(here, there):
            return number(here) == number(there)
    except (ValueError, InvalidOperation):
        return False
    if kind == "raw" and isinstance(there, str) and "T" in there and here != there:
        try:
            return moment(here) == moment(there)
        except ValueError:
            return False
    return bool(here == there)


def _is_number(*values: Any) -> bool:
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)
