"""The audit log as lines of text, a chunk at a time: memory does not grow with the log."""

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
from audit.models import AuditLogEntry, Work
from audit.models.entry_queryset import AuditLogFilter
from handlers.reporting.entry_json import COLUMNS, EXTRA, exported_entry, with_deliveries
from listeners.models import Listener

#: A state of its own for whoever asks: retrying or dead.
FAILED = "failed"

CHUNK = 1000
#: A spreadsheet runs a cell that begins so, with the signs of East Asian keyboards too.
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
    """Whether values of sensitive fields could be in it."""
    return see.sees_all and Listener.objects.exclude(sensitive_fields=[]).exists()


def begin(
    by: Actor, form: str, criteria: dict[str, Any], entries: Any, *, reveals: bool
) -> TrackedJob:
    """Write down who takes which entries out, and whether with the values of sensitive fields."""
    total = total_of(entries)
    details = {"format": form, "filter": criteria, "sensitive": reveals}
    with transaction.atomic():
        running = TrackedJob.begin(Work.Kind.EXPORT, by, details, total)
        note(by, Action.REVEAL if reveals else Action.EXPORT, running.row, details=details)
    return running


class Watched:
    """What an export writes; how it ended is written down when it did. One whose reader went away
    is broken off."""

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
    """Each entry with its deliveries, the oldest first.

    Read in chunks by id, so that no transaction stays open: a long one would hold up the database.
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
    """A header, then the columns of COLUMNS. What has a structure is JSON; null is an empty cell.

    A text that a spreadsheet would run as a formula gets an apostrophe in front. Numbers stay
    numbers, negative ones too.
    """
    yield _csv(COLUMNS)
    for row in rows:
        yield _csv([_cell(value) for name, value in row.items() if name != EXTRA])


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair is legal in JSON, as an escape only
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
    """Some programs pass over blanks before a formula."""
    return text.startswith(_SKIPPED) or text.lstrip().lstrip(_INVISIBLE).startswith(_SIGNS)


def _csv(cells: Iterable[Any]) -> str:
    line = io.StringIO()
    # Before Python 3.13 a cell with a character of the line's end is quoted, and with no other one.
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n") + "\n"
