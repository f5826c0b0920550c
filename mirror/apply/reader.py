"""Reads dirty records from Salesforce and writes their rows.

claim → read → convert → write, guarded → clear the marks that did not move → release
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import structlog
from django.db import DatabaseError, InterfaceError

from audit.db.retry import describe
from handlers.listener_rest_client import CANNOT_READ, rest_of
from listeners import crash_points
from listeners.clock import database_clock
from listeners.salesforce.errors import Reaction, SalesforceError
from listeners.salesforce.rest.client import MAX_IDS, RestClient
from listeners.salesforce.rest.records import RecordsRead
from mirror.apply import dirty, problem, release, upsert
from mirror.apply.dirty import MARGIN_MS
from mirror.apply.guard import read_time
from mirror.apply.record_rows import RecordRows, prefixes_for, rows_of_records
from mirror.apply.row_page import Values
from mirror.column_holders import columns_for
from mirror.models import DirtyRow, Mirror
from mirror.schema.columns import Columns

log = structlog.get_logger(__name__)

#: When records are read again after the org's limit was reached, or did not answer.
_PAUSES = {Reaction.QUOTA: timedelta(minutes=15), Reaction.BACK_OFF_LONG: timedelta(minutes=2)}
_PAUSE = timedelta(seconds=10)


@dataclass(slots=True)
class Result:
    """The result of reading a page of records."""

    applied: int = 0
    doubtful: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def client_of(mirror: Mirror) -> RestClient:
    """Return a client that reads several pages: it asks once for the object's fields. Raises
    SecretUnavailable and ClientFileMissing."""
    return rest_of(mirror.listener, number=Decimal)


def read_page(mirror: Mirror, client: RestClient) -> int:
    """Read a page of due records of a mirror; return how many were claimed. Never inside a
    transaction."""
    marks = dirty.claim(mirror, database_clock.now(), MAX_IDS)
    if not marks:
        return 0
    ids = [mark.record_id for mark in marks]
    try:
        answer = client.read_many(mirror.salesforce_object, ids)
        columns = _columns(mirror, answer)
        records = list(answer.records.values())
        prefixes = prefixes_for(client, columns, records)
    except CANNOT_READ as error:
        _postpone_all(mirror, marks, error)
        return 0
    crash_points.reach("read")
    try:
        found = rows_of_records(columns, records, prefixes)
        result = _write(mirror, columns, ids, answer, found)
    except (DatabaseError, InterfaceError) as error:
        problem.note_writing(mirror, error)
        dirty.postpone([(mark, describe(error)) for mark in marks], database_clock.now())
        return 0
    _settle(mirror, marks, answer, result)
    return len(marks)


def _postpone_all(mirror: Mirror, marks: Sequence[DirtyRow], error: Exception) -> None:
    """Give all marks back. A limit or an outage is no failure of the records."""
    log.warning("records not read", mirror=mirror.model, records=len(marks), reason=str(error))
    now = database_clock.now()
    reaction = error.reaction if isinstance(error, SalesforceError) else Reaction.CONFIGURATION
    if reaction is Reaction.CONFIGURATION:
        dirty.postpone([(mark, str(error)) for mark in marks], now)
    else:
        dirty.release(marks, now + _PAUSES.get(reaction, _PAUSE), error=str(error))


def _write(
    mirror: Mirror, columns: Columns, ids: Sequence[str], answer: RecordsRead, found: RecordRows
) -> Result:
    """Write the rows of the records that were read, or found deleted."""
    read_at, result = read_time(answer.read_at), Result()
    absent = [key for key in ids if key not in answer.records and key not in answer.refused]
    if absent:
        written = upsert.write_absent(columns, mirror.database, absent, read_at)
        result.applied += written.applied
        result.doubtful |= written.doubtful
    for names, rows in found.rows.items():
        _write_rows(mirror, columns, names, rows, read_at, result=result)
    result.failed |= {key: str(refused) for key, refused in answer.refused.items()}
    return result


def _write_rows(
    mirror: Mirror,
    columns: Columns,
    names: tuple[str, ...],
    rows: Sequence[Values],
    read_at: datetime,
    *,
    result: Result,
) -> None:
    """Write rows together; one by one if the database refuses one of them."""
    try:
        written = upsert.write(columns, mirror.database, names, rows, read_at)
    except upsert.REFUSED as error:
        if len(rows) == 1:
            result.failed[rows[0][0]] = describe(error)
            return
        half = len(rows) // 2
        for part in (rows[:half], rows[half:]):
            _write_rows(mirror, columns, names, part, read_at, result=result)
        return
    result.applied += written.applied
    result.doubtful |= written.doubtful


def _columns(mirror: Mirror, answer: RecordsRead) -> Columns:
    described = mirror.described or {name: "" for one in answer.records.values() for name in one}
    return columns_for(mirror, described)


def _settle(mirror: Mirror, marks: Sequence[DirtyRow], answer: RecordsRead, result: Result) -> None:
    """Clear the marks of the records whose rows are decided, and give the others back."""
    now = database_clock.now()
    problem.clear_writing(mirror)
    dirty.postpone(
        [
            (mark, result.failed[mark.record_id])
            for mark in marks
            if mark.record_id in result.failed
        ],
        now,
    )
    dirty.mark(mirror, result.doubtful, DirtyRow.Reason.SAME_SECOND)
    left = [mark for mark in marks if mark.record_id not in result.failed]
    decided = [
        mark
        for mark in left
        if mark.since + MARGIN_MS < answer.read_at and mark.record_id not in result.doubtful
    ]
    cleared = dirty.clear(decided)
    others = _others(left, {mark.pk for mark in cleared})
    moved = [mark for mark in others if mark.record_id not in result.doubtful]
    dirty.note_read(moved, answer.read_at - MARGIN_MS)
    # Not sooner: the next read could not be told from this one.
    dirty.release(others, now + dirty.DELAY)
    read_to = {mark.record_id: answer.read_at - MARGIN_MS for mark in moved}
    release.release_read(mirror, read_to | {mark.record_id: mark.since for mark in cleared})
    log.info(
        "dirty records read",
        mirror=mirror.model,
        records=len(marks),
        applied=result.applied,
        cleared=len(cleared),
        failed=len(result.failed),
    )


def _others(marks: Iterable[DirtyRow], gone: set[int]) -> list[DirtyRow]:
    return [mark for mark in marks if mark.pk not in gone]
