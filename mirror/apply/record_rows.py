"""Rows of records that the REST API returned, as loads, sweeps and reads of dirty records write
them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from listeners.salesforce.rest.client import RestClient
from listeners.salesforce.rest.records import long_id
from mirror.apply.row_page import Values
from mirror.schema.columns import Columns
from mirror.schema.key_prefixes import STANDARD_PREFIXES
from mirror.schema.values import to_columns

#: The columns of each row that do not hold a field.
OWN = ("salesforce_id", "is_deleted", "version", "raw")


@dataclass(slots=True)
class RecordRows:
    """Rows by the names of their columns, which are the same for records of one query; `refused`
    counts values that did not fit their columns."""

    rows: dict[tuple[str, ...], list[Values]] = field(default_factory=dict)
    refused: int = 0


def rows_of_records(
    columns: Columns,
    records: Iterable[Mapping[str, Any]],
    prefixes: Mapping[str, str] = STANDARD_PREFIXES,
) -> RecordRows:
    """Return the rows of records, with the columns of the fields that each record has."""
    found = RecordRows()
    for record in records:
        converted = to_columns(columns, record, prefixes=prefixes)
        found.refused += len(converted.refused)
        own = (
            long_id(str(record["Id"])),
            record.get("IsDeleted") is True,
            version_of(record.get("LastModifiedDate")),
            json_of(converted.raw),
        )
        names = (*OWN, *converted.values)
        found.rows.setdefault(names, []).append((*own, *converted.values.values()))
    return found


def json_of(raw: Mapping[str, Any] | None) -> str:
    """Return a value of the column `raw` as JSON."""
    return json.dumps(raw, default=str) if raw else "{}"


def version_of(value: Any) -> datetime | None:
    """Return a LastModifiedDate as a time; None if the object has none."""
    return datetime.fromisoformat(value).astimezone(UTC) if value else None


def prefixes_of(rest: RestClient, columns: Columns) -> Mapping[str, str]:
    """Return the org's objects by key prefix, if the model has columns for types of references."""
    if not columns.types:
        return STANDARD_PREFIXES
    named = ((one.get("keyPrefix"), one.get("name")) for one in rest.sobjects())
    found = {str(prefix): str(name) for prefix, name in named if prefix and name}
    return {**found, **STANDARD_PREFIXES}


def prefixes_for(
    rest: RestClient, columns: Columns, records: Iterable[Mapping[str, Any]]
) -> Mapping[str, str]:
    """Return the objects by key prefix that the references of records need. The org is asked only
    if one of them is of an object of its own."""
    found = {str(record.get(name) or "")[:3] for record in records for name in columns.types}
    return STANDARD_PREFIXES if found <= {"", *STANDARD_PREFIXES} else prefixes_of(rest, columns)
