"""Reads the run's database with plain SQL, without Django; values have one form for both
databases."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

Row = tuple[Any, ...]
Errors = (psycopg.Error, sqlite3.Error)


class Database:
    """A database by its address: a PostgreSQL URL, or the path of an SQLite file."""

    def __init__(self, address: str | Path) -> None:
        self._address = address

    @property
    def is_sqlite(self) -> bool:
        return isinstance(self._address, Path)

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """Open a connection that commits each statement."""
        if isinstance(self._address, Path):
            uri = f"file:{self._address}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=30)) as connection:
                yield connection
            return
        options = "-c timezone=UTC"
        with psycopg.connect(
            self._address, autocommit=True, connect_timeout=5, options=options
        ) as connection:
            yield connection

    def rows(self, query: str) -> list[Row]:
        with self.connect() as connection:
            return list(connection.execute(query).fetchall())

    def number(self, query: str) -> int:
        [(found,)] = self.rows(query)
        return int(found or 0)


def listed(ids: Iterable[str]) -> str:
    """Return the ids as a list in SQL."""
    return ", ".join(f"'{record_id}'" for record_id in ids)


def moment(value: Any) -> datetime | None:
    """Return a time of a database driver or of the org as a datetime."""
    if value is None or value == "":
        return None
    if not isinstance(value, datetime):
        value = datetime.fromisoformat(str(value))
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def day(value: Any) -> date | None:
    if isinstance(value, date) or value is None:
        return value
    return date.fromisoformat(str(value))


def number(value: Any) -> Decimal | None:
    return None if value is None or value == "" else Decimal(str(value)).normalize()
