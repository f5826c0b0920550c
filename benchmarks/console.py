"""Measures the console's pages in a big installation: `python -m benchmarks.console`.

The benchmark starts and fills its own PostgreSQL server; `--folder` keeps the server's data for the
next run. Exits with 1 when the 95th percentile of a page is over 300 ms.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from tests.servers import PostgresServer


def chosen(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the given arguments, or those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=40, help="of each page")
    parser.add_argument("--folder", type=Path, help="where the database stays")
    parser.add_argument("--only", default="", help="pages whose name contains this")
    return parser.parse_args(arguments)


def main() -> int:
    options = chosen()
    with tempfile.TemporaryDirectory() as temporary, _django(options.folder or Path(temporary)):
        from django.utils import timezone

        from benchmarks import console_data, console_timing
        from benchmarks.console_pages import pages

        if console_data.is_empty():
            started = time.monotonic()
            console_data.fill(options.entries, timezone.now())
            print(f"filled in {time.monotonic() - started:,.0f} s")
        console_data.bring_up_to_date()
        wanted = {name: page for name, page in pages().items() if options.only in name}
        print(f"{console_data.size():,} entries, {options.runs} runs of each page")
        return console_timing.measure(wanted, options.runs)


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
        import_module("cdcproject.wsgi")  # prepares the process as in the web server
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        yield
    finally:
        from django.db import connection

        connection.close()
        server.stop("fast")


if __name__ == "__main__":
    random.seed(1)
    sys.exit(main())
