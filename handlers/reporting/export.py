"""Export the audit log as lines of text, in chunks: memory does not grow with the log.

The API shows entries in the same JSON form.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Generator, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.models import Prefetch

from audit.action_log import Action, Actor, note
from audit.db.row_count import total_of
from audit.jobs.tracked import TrackedJob
from audit.log.masking import MASKED, Sight
from audit.models import AuditLogEntry, AuditLogFilter, Work
from audit.models.entry import AuditLogQuerySet
from handlers.models import Delivery
from listeners.models import Listener

COLUMNS = (
    "id",
    "listener",
    "channel",
    "entity_name",
    "record_id",
    "change_type",
    "change_origin",
    "transaction_key",
    "sequence_number",
    "commit_timestamp",
    "commit_number",
    "commit_user",
    "replay_id",
    "changed_fields",
    "changed_data",
    "source",
    "received_at",
    "deliveries",
)
#: The key for header fields without a column, present only when an entry has some.
EXTRA = "header_extra"
#: A pseudo-state for filters: retrying or dead.
FAILED = "failed"

CHUNK = 1000
#: A spreadsheet evaluates a cell that starts with one of these as a formula. The full-width forms
#: come from East Asian keyboards.
_SIGNS = (
    *("=", "+", "-", "@"),
    "\N{FULLWIDTH EQUALS SIGN}",
    "\N{FULLWIDTH PLUS SIGN}",
    "\N{FULLWIDTH HYPHEN-MINUS}",
    "\N{FULLWIDTH COMMERCIAL AT}",
)
_SKIPPED = ("\t", "\r", "\n")
_INVISIBLE = "\ufeff\u200b"


def with_deliveries(entries: AuditLogQuerySet) -> AuditLogQuerySet:
    """Return the entries with the rows prefetched that `exported_entry` needs."""
    deliveries = Prefetch("deliveries", Delivery.objects.order_by("id"))
    return entries.select_related("listener").prefetch_related(deliveries)


def exported_entry(entry: AuditLogEntry, sight: Sight = MASKED) -> dict[str, Any]:
    row = {name: getattr(entry, name) for name in COLUMNS if name != "deliveries"}
    extra = {EXTRA: entry.header_extra} if entry.header_extra else {}
    return {
        **row,
        "listener": entry.listener.name,
        "commit_user": entry.commit_user or None,
        "replay_id": entry.exported_replay_id,
        "changed_data": sight.data(entry),
        "received_at": exported_time(entry.received_at),
        "deliveries": [
            exported_delivery(delivery, entry, sight) for delivery in entry.deliveries.all()
        ],
        **extra,
    }


def exported_delivery(
    delivery: Delivery, entry: AuditLogEntry, sight: Sight = MASKED
) -> dict[str, Any]:
    return {
        "id": delivery.pk,
        "handler": delivery.handler,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "error": sight.text(delivery.error, entry) or None,
        "queued_at": exported_time(delivery.queued_at),
        "started_at": exported_time(delivery.started_at),
        "finished_at": exported_time(delivery.finished_at),
    }


def exported_time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


def reveals(see: Sight) -> bool:
    """Return whether an export could contain values of sensitive fields."""
    return see.sees_all and Listener.objects.exclude(sensitive_fields=[]).exists()


def begin(
    by: Actor, form: str, criteria: dict[str, Any], entries: Any, *, reveals: bool
) -> TrackedJob:
    """Track an export and note it in the action log. Inside any transaction.

    `reveals`: whether it contains values of sensitive fields.
    """
    total = total_of(entries)
    details = {"format": form, "filter": criteria, "sensitive": reveals}
    with transaction.atomic():
        running = TrackedJob.begin(Work.Kind.EXPORT, by, details, total)
        note(by, Action.REVEAL if reveals else Action.EXPORT, running.row, details=details)
    return running


class Watched:
    """The lines of an export, which record its end: done, failed, or broken off by the reader."""

    def __init__(self, pieces: Generator[str], running: TrackedJob) -> None:
        self._pieces = pieces
        self._running = running

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except StopIteration:
            self._running.end()
            raise
        except Exception as error:
            self._running.end(Work.State.FAILED, error=type(error).__name__)
            raise

    def close(self) -> None:
        self._pieces.close()
        self._running.end(Work.State.BROKEN_OFF)


def counting(rows: Iterable[dict[str, Any]], running: TrackedJob) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield row
        running.advance()


def exported(
    wanted: AuditLogFilter, chunk: int = CHUNK, sight: Sight = MASKED
) -> Iterator[dict[str, Any]]:
    """Yield each matching entry with its deliveries, the oldest first.

    Reads chunks by id, without a transaction: a long one would hold back PostgreSQL's vacuum.
    """
    entries = with_deliveries(AuditLogEntry.objects.all().matching(wanted))
    last = 0
    while page := list(entries.filter(id__gt=last).order_by("id")[:chunk]):
        yield from (exported_entry(entry, sight) for entry in page)
        last = page[-1].pk


def json_lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield _json(row) + "\n"


def csv_lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield a header, then a line for each row with the columns of COLUMNS.

    Lists and objects are JSON; null is an empty cell. A text that a spreadsheet would evaluate as a
    formula gets an apostrophe in front. Numbers, also negative ones, stay as they are.
    """
    yield _csv(COLUMNS)
    for row in rows:
        yield _csv([_cell(value) for name, value in row.items() if name != EXTRA])


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON allows a lone surrogate only as an escape
        return json.dumps(value)
    return text


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return _json(value)
    if not isinstance(value, str):
        return value
    text = value.encode(errors="backslashreplace").decode()
    return f"'{text}" if _may_be_run(text) else text


def _may_be_run(text: str) -> bool:
    """Return whether a spreadsheet may evaluate a text; some skip blanks before a formula."""
    return text.startswith(_SKIPPED) or text.lstrip().lstrip(_INVISIBLE).startswith(_SIGNS)


def _csv(cells: Iterable[Any]) -> str:
    line = io.StringIO()
    # Before Python 3.13, csv quotes cells with a line break only if `lineterminator` contains it.
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n") + "\n"
