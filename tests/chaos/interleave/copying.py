"""A handler that copies records to a table of its own, and fails at random while a run wants it
to."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

from django.db import connection
from simple_salesforce.exceptions import SalesforceResourceNotFound

from handlers import EventData, cdc_handler
from tests.chaos.interleave import COPY, COPY_TOO

TABLES = (
    "CREATE TABLE chaos_copy (record_id varchar(18) PRIMARY KEY, fields text NOT NULL)",
    "CREATE TABLE chaos_health (failure_rate real NOT NULL)",
)
#: While the handler is not healthy, it fails each attempt of one change in so many.
STUBBORN = 19


class Chance(Exception):
    """A random failure of an attempt."""


@cdc_handler(name=COPY, atomic=True)
def copy(event: EventData) -> None:
    """Apply the change to the copy of its record."""
    rate = _failure_rate()
    _fail(rate / 2, event)
    match event.metadata.change_type:
        case "DELETE":
            _execute("DELETE FROM chaos_copy WHERE record_id = %s", event.metadata.record_id)
        case "CREATE" | "UNDELETE":
            _write(event.metadata.record_id, _merged({}, event.changed_data))
        case "UPDATE":
            _update(event)
    _fail(rate / 2, event)


@cdc_handler(name=COPY_TOO, atomic=True)
def copy_too(event: EventData) -> None:
    """Do the same under another name."""
    copy(event)


def copies() -> dict[str, dict[str, Any]]:
    """Return the fields of each record's copy."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT record_id, fields FROM chaos_copy")
        return {record_id: json.loads(fields) for record_id, fields in cursor.fetchall()}


def set_failure_rate(rate: float) -> None:
    _execute("DELETE FROM chaos_health")
    _execute("INSERT INTO chaos_health (failure_rate) VALUES (%s)", rate)


def _update(event: EventData) -> None:
    body = event.changed_data
    if _is_diff(body.get("Description")):
        body = {**body, "Description": _description(event)}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT fields FROM chaos_copy WHERE record_id = %s", [event.metadata.record_id]
        )
        found = cursor.fetchone()
    _write(event.metadata.record_id, _merged(json.loads(found[0]) if found else {}, body))


def _description(event: EventData) -> str | None:
    """Read the whole text from Salesforce, because the event holds a diff of it."""
    try:
        record = event.salesforce.Account.get(event.metadata.record_id)
    except SalesforceResourceNotFound:
        return None
    text: str | None = record.get("Description")
    return text


def _is_diff(value: object) -> bool:
    return isinstance(value, dict) and "diff" in value


def _merged(fields: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with the changes, compound fields merged by part, without nulls."""
    merged = dict(fields)
    for name, value in body.items():
        before = merged.get(name)
        if isinstance(value, dict):
            parts = _merged(before if isinstance(before, dict) else {}, value)
            merged[name] = parts or None
        else:
            merged[name] = value
    return {name: value for name, value in merged.items() if value is not None}


def _write(record_id: str, fields: Mapping[str, Any]) -> None:
    _execute(
        "INSERT INTO chaos_copy (record_id, fields) VALUES (%s, %s) "
        "ON CONFLICT (record_id) DO UPDATE SET fields = excluded.fields",
        record_id,
        json.dumps(fields),
    )


def _failure_rate() -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT failure_rate FROM chaos_health")
        return float(cursor.fetchone()[0])


def _fail(rate: float, event: EventData) -> None:
    if rate and (random.random() < rate or event.id % STUBBORN == 0):
        raise Chance("by chance")


def _execute(sql: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, list(values))
