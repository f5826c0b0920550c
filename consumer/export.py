"""The audit log as lines of text, a chunk at a time: memory does not grow with the log."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.db.models import Prefetch

from audit.models import AuditLogEntry
from audit.queries import AuditLogFilter
from handlers.models import Delivery

#: A state of its own for whoever asks: retrying or dead.
FAILED = "failed"

CHUNK = 1000

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


def exported(wanted: AuditLogFilter, chunk: int = CHUNK) -> Iterator[dict[str, Any]]:
    """Each entry with its deliveries, the oldest first.

    Read in chunks by id, so that no transaction stays open: a long one would hold up the database.
    """
    deliveries = Prefetch("deliveries", Delivery.objects.order_by("id"))
    entries = (
        AuditLogEntry.objects.all()
        .matching(wanted)
        .select_related("listener")
        .prefetch_related(deliveries)
    )
    last = 0
    while page := list(entries.filter(id__gt=last).order_by("id")[:chunk]):
        yield from map(_row, page)
        last = page[-1].pk


def json_lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield _json(row) + "\n"


def csv_lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """A header, then the same columns. What has a structure is JSON; null is an empty cell.

    A text from outside that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    yield _csv(COLUMNS)
    for row in rows:
        yield _csv([_cell(value) for value in row.values()])


def _row(entry: AuditLogEntry) -> dict[str, Any]:
    row = {name: getattr(entry, name) for name in COLUMNS if name != "deliveries"}
    return {
        **row,
        "listener": entry.listener.name,
        "commit_user": entry.commit_user or None,
        "replay_id": entry.exported_replay_id,
        "received_at": _time(entry.received_at),
        "deliveries": [_delivery(delivery) for delivery in entry.deliveries.all()],
    }


def _delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.pk,
        "handler": delivery.handler,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "error": delivery.error or None,
        "queued_at": _time(delivery.queued_at),
        "started_at": _time(delivery.started_at),
        "finished_at": _time(delivery.finished_at),
    }


def _time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


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
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _csv(cells: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
