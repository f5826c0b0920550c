"""The handlers that are measured; loaded by CDC_HANDLER_MODULES."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any

from celery import shared_task
from django.db import connection

from benchmarks.handler_table import MOMENTS
from handlers import BatchFailed, EventData, cdc_handler

_UPSERT = """
INSERT INTO bench_row (record_id, entry_id, change_type, phone) VALUES {rows}
ON CONFLICT (record_id) DO UPDATE SET
    entry_id = excluded.entry_id, change_type = excluded.change_type, phone = excluded.phone
"""
BATCH = 100
#: A flaky handler fails at first for one of this many changes.
FLAKY = 50


@shared_task(name="bench.task", ignore_result=True)
def task(*, delivery_id: int) -> None:
    """Do nothing: the task with which a bare Celery worker is measured."""


@cdc_handler(name="bench.empty")
def empty(event: EventData) -> None:
    """Do nothing, so that only the product's own work is measured."""


@cdc_handler(name="bench.empty_atomic", atomic=True)
def empty_atomic(event: EventData) -> None:
    """Do nothing, in the transaction that settles the delivery."""


@cdc_handler(name="bench.upsert")
def upsert(event: EventData) -> None:
    """Write one row of a record."""
    _upsert([event])


@cdc_handler(name="bench.upsert_atomic", atomic=True)
def upsert_atomic(event: EventData) -> None:
    """Write one row of a record, in the transaction that settles the delivery."""
    _upsert([event])


@cdc_handler(name="bench.moment")
def moment(event: EventData) -> None:
    """Write when the change was committed and when this run began, in milliseconds since 1970."""
    began = time.time_ns() // 1_000_000
    os.write(_moments(), f"{event.metadata.commit_timestamp} {began}\n".encode())


@cdc_handler(name="bench.empty_batch", batch=BATCH)
def empty_batch(events: list[EventData]) -> None:
    """Do nothing, for many changes at once."""


@cdc_handler(name="bench.empty_thousand", batch=1000)
def empty_thousand(events: list[EventData]) -> None:
    """Do nothing, for as many changes at once as a mirror takes."""


@cdc_handler(name="bench.upsert_batch", batch=BATCH)
def upsert_batch(events: list[EventData]) -> None:
    """Write a row of each record in one statement."""
    _upsert(events)


@cdc_handler(name="bench.flaky")
def flaky(event: EventData) -> None:
    """Fail for some changes, the first time."""
    if _is_refused(event):
        raise ConnectionError("the other system is away")


@cdc_handler(name="bench.flaky_batch", batch=BATCH)
def flaky_batch(events: list[EventData]) -> None:
    """Fail for some of many changes, the first time."""
    if failed := [event for event in events if _is_refused(event)]:
        raise BatchFailed(dict.fromkeys(failed, "the other system is away"))


def _is_refused(event: EventData) -> bool:
    """Return whether this attempt fails. The same changes fail in each measurement, since the
    chains with the most failures are the last to end."""
    phone = event.changed_data["Phone"]
    return event.attempt == 1 and zlib.crc32(phone.encode()) % FLAKY == 0


def _upsert(events: Sequence[EventData]) -> None:
    rows = {event.metadata.record_id: _row(event) for event in events}
    values = ", ".join(["(%s, %s, %s, %s)"] * len(rows))
    with connection.cursor() as cursor:
        cursor.execute(
            _UPSERT.format(rows=values), [value for row in rows.values() for value in row]
        )


def _row(event: EventData) -> tuple[Any, ...]:
    metadata = event.metadata
    return metadata.record_id, event.id, metadata.change_type, event.changed_data.get("Phone")


@cache
def _moments() -> int:
    return os.open(os.environ[MOMENTS], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
