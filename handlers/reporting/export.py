"""Export the audit log as lines of text, in chunks: memory does not grow with the log."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from django.db import transaction

from audit.action_log import Action, Actor, note
from audit.db.row_count import total_of
from audit.jobs.tracked import TrackedJob
from audit.log.masking import MASKED, Sight
from audit.models import AuditLogEntry, AuditLogFilter, Work
from handlers.reporting.entry_json import COLUMNS, EXTRA, exported_entry, with_deliveries
from listeners.models import Listener

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
