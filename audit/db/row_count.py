"""Count rows within a time limit, or estimate their number."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet

#: Rows are not counted when PostgreSQL estimates more than this.
COUNTED = 20_000
#: Time limit of a count, in seconds.
SECONDS = 0.2
#: Virtual machine steps of SQLite between two checks of the time limit.
_STEPS = 5_000


class TookTooLong(Exception):
    """A query exceeded its time limit. Narrow it, or do without the result."""


@dataclass(frozen=True, slots=True)
class Total:
    """A number of rows; None: unknown."""

    number: int | None
    is_estimate: bool = False

    def __str__(self) -> str:
        if self.number is None:
            return "an unknown number"
        return f"about {self.number:,}" if self.is_estimate else f"{self.number:,}"


def total_of(rows: QuerySet[Any]) -> Total:
    """Return the counted number of rows; PostgreSQL's estimate or None when that takes too long."""
    unordered = rows.order_by()
    estimate = _estimate(unordered)
    if estimate is not None and estimate > COUNTED:
        return Total(estimate, is_estimate=True)
    try:
        with time_limit(SECONDS):
            return Total(unordered.count())
    except TookTooLong:
        return Total(estimate, is_estimate=estimate is not None)


def _estimate(rows: QuerySet[Any]) -> int | None:
    if connection.vendor != "postgresql":
        return None
    plan = json.loads(rows.explain(format="json"))
    root = plan[0] if isinstance(plan, list) else plan
    return int(root["Plan"]["Plan Rows"])


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TookTooLong when a query in the block exceeds the limit."""
    limited = _postgresql if connection.vendor == "postgresql" else _sqlite
    try:
        with limited(seconds):
            yield
    except OperationalError as error:
        if _is_cancelled(error):
            raise TookTooLong from error
        raise


@contextmanager
def _postgresql(seconds: float) -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{round(seconds * 1000)}ms'")
        yield
        cursor.execute("SET LOCAL statement_timeout = DEFAULT")


@contextmanager
def _sqlite(seconds: float) -> Iterator[None]:
    connection.ensure_connection()
    database: Any = connection.connection
    ends = time.monotonic() + seconds
    database.set_progress_handler(lambda: time.monotonic() > ends, _STEPS)
    try:
        yield
    finally:
        database.set_progress_handler(None, 0)


def _is_cancelled(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlstate", "") == "57014" or str(error) == "interrupted"
