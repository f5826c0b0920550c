"""Makes a fresh database for each run, as a copy of a migrated template."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import psutil
import psycopg

from tests.servers import PostgresServer

TEMPLATE = "template_bench"
_CONNECT_SECONDS = 5


class Database(Protocol):
    """The database of a run; `url` is the product's DATABASE_URL."""

    url: str

    def row(self, sql: str) -> tuple[Any, ...]:
        """Return the first row of a query."""

    def run(self, sql: str) -> None: ...
    def close(self) -> None: ...


class Databases(Protocol):
    """Makes databases, on a server or as files."""

    def start(self, migrate: Callable[[str], None]) -> None:
        """Start the server, and make the template; `migrate` takes the template's URL."""

    def fresh(self) -> Database: ...
    def full(self) -> Database:
        """Return a database that is kept between invocations; it is empty at first."""

    def pids(self) -> list[int]:
        """Return the process ids of the server, the first process first."""

    def cpu_seconds(self) -> float:
        """Return the CPU time that the server has used, 0 where there is no server."""

    def stop(self) -> None: ...


class _Postgres:
    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = psycopg.connect(
            url, autocommit=True, connect_timeout=_CONNECT_SECONDS, prepare_threshold=None
        )

    def row(self, sql: str) -> tuple[Any, ...]:
        return self._connection.execute(sql.encode()).fetchone() or ()

    def run(self, sql: str) -> None:
        self._connection.execute(sql.encode())

    def close(self) -> None:
        self._connection.close()


class PostgresDatabases:
    """Makes databases on its own PostgreSQL server, with default settings: commits are on disk."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self._data = folder / "postgres"
        self.server = PostgresServer(self._data, durable=durable)
        self._numbers = count(1)
        self._base = self.server.url.rpartition("/")[0]

    def start(self, migrate: Callable[[str], None]) -> None:
        self.server.start(again=self._data.exists())
        self._make(TEMPLATE, "template0")
        migrate(f"{self._base}/{TEMPLATE}")

    def fresh(self) -> Database:
        name = f"run{next(self._numbers)}"
        self._make(name, TEMPLATE)
        return _Postgres(f"{self._base}/{name}")

    def full(self) -> Database:
        return _Postgres(self.server.url)

    def pids(self) -> list[int]:
        return self.server.pids()

    def cpu_seconds(self) -> float:
        """Return the CPU time of all server processes; the first one's includes ended children."""
        first, *others = self.pids()
        used = sum(psutil.Process(first).cpu_times()[:4])
        for pid in others:
            with suppress(psutil.NoSuchProcess):
                used += sum(psutil.Process(pid).cpu_times()[:2])
        return used

    def _make(self, name: str, template: str) -> None:
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
            connection.execute(
                "CHECKPOINT"
            )  # what the last run left to be written is not this one's

    def stop(self) -> None:
        self.server.stop("fast")


class _SQLite:
    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=30)

    def row(self, sql: str) -> tuple[Any, ...]:
        found: tuple[Any, ...] = self._connection.execute(sql).fetchone() or ()
        return found

    def run(self, sql: str) -> None:
        self._connection.execute(sql)

    def close(self) -> None:
        self._connection.close()


class SQLiteDatabases:
    """Makes SQLite files, the embedded default."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)
        self._template = folder / "template.sqlite3"

    def start(self, migrate: Callable[[str], None]) -> None:
        migrate(f"sqlite:///{self._template}")
        with sqlite3.connect(self._template) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    def fresh(self) -> Database:
        path = self._folder / f"run{next(self._numbers)}.sqlite3"
        shutil.copy(self._template, path)
        return _SQLite(path)

    def pids(self) -> list[int]:
        return []

    def cpu_seconds(self) -> float:
        return 0.0

    def full(self) -> Database:
        path = self._folder / "full.sqlite3"
        if not path.exists():
            shutil.copy(self._template, path)
        return _SQLite(path)

    def stop(self) -> None:
        """Do nothing, since there is no server."""
