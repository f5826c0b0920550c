"""Makes each test worker's database as a copy of a template, which the first worker migrates.

Migrating takes seconds, copying takes none.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.core.management import call_command
from django.db import connection
from psycopg import sql

_POSTGRES = "cdc_template"


def copy() -> None:
    """Make this process's own database, and point the connection to it."""
    settings = connection.settings_dict
    with _one_at_a_time() as folder:
        if connection.vendor == "sqlite":
            _copy_file(folder / "template.sqlite3", settings)
        else:
            _copy_in_server(folder / "template.made", settings)


def _copy_file(template: Path, settings: dict[str, Any]) -> None:
    if not template.exists():
        settings["NAME"] = template
        _migrate()
    settings["NAME"] = shutil.copy(template, settings["TEST"]["NAME"])


def _copy_in_server(made: Path, settings: dict[str, Any]) -> None:
    if not made.exists():
        _execute("CREATE DATABASE {}", _POSTGRES)
        settings["NAME"] = _POSTGRES
        _migrate()
        made.touch()
    settings["NAME"] = f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    _execute("CREATE DATABASE {} TEMPLATE {}", settings["NAME"], _POSTGRES)


def _migrate() -> None:
    call_command("migrate", verbosity=0, interactive=False)
    connection.close()


def _execute(statement: str, *names: str) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def _one_at_a_time() -> Iterator[Path]:
    folder = Path(os.environ["CDC_TEST_RUN"])
    with (folder / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
