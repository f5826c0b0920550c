"""How long the audit log's pages take with many entries: `python -m benchmarks.console`.

On a PostgreSQL of its own that it fills; with `--folder` it is kept, and used again as it is.
"""

import argparse
import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers import PostgresServer

LIMIT_MS = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=30, help="of each page")
    parser.add_argument("--folder", type=Path, help="where the database stays")
    parser.add_argument("--only", default="", help="pages whose name contains this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, _django(options.folder or Path(temporary)):
        from benchmarks import console_data

        if console_data.is_empty():
            started = time.monotonic()
            console_data.fill(options.entries)
            print(f"filled in {time.monotonic() - started:,.0f} s")
        print(f"{console_data.size():,} entries, {options.runs} runs of each page")
        _measure(options.runs, options.only)


@contextmanager
def _django(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    server = PostgresServer(folder / "postgres")
    server.start(again=(folder / "postgres").exists())
    os.environ |= {
        "DEBUG": "false",
        "SECRET_KEY": "only for this benchmark, which serves nobody",
        "CDC_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "LOG_LEVEL": "ERROR",
        "ALLOWED_HOSTS": "testserver",
        "DATABASE_URL": server.url,
        "VAR_DIR": str(folder / "var"),
        "DJANGO_SETTINGS_MODULE": "cdcproject.settings",
    }
    try:
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        yield
    finally:
        from django.db import connection

        connection.close()
        server.stop("fast")


def _measure(runs: int, only: str) -> None:
    from django.contrib.auth.models import User
    from django.test import Client

    from benchmarks.console_pages import pages

    client = Client()
    user, _ = User.objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    client.force_login(user)
    for name, address in pages().items():
        if only in name:
            _seconds(client.get, address)  # what a process does once
            _show(name, [_seconds(client.get, address) for _ in range(runs)])


def _seconds(get: Callable[[str], Any], address: Callable[[], str]) -> tuple[float, float]:
    """In all, and of it in the database."""
    from django.db import connection

    inside = [0.0]

    def timed(execute: Any, *query: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(*query)
        finally:
            inside[0] += time.perf_counter() - began

    path = address()
    started = time.perf_counter()
    with connection.execute_wrapper(timed):
        status = get(path).status_code
    taken = time.perf_counter() - started
    if status != 200:
        raise RuntimeError(f"{path}: {status}")
    return taken, inside[0]


def _show(name: str, runs: list[tuple[float, float]]) -> None:
    taken, inside = (sorted(1000 * times[kind] for times in runs) for kind in (0, 1))
    p95 = math.ceil(len(runs) * 0.95) - 1
    mark = "" if taken[p95] <= LIMIT_MS else f"  over {LIMIT_MS}"
    print(
        f"{name:28} median {taken[len(runs) // 2]:6.0f} ms  p95 {taken[p95]:6.0f} ms, in the "
        f"database {inside[p95]:6.0f} ms{mark}",
        flush=True,
    )


if __name__ == "__main__":
    random.seed(1)
    main()
