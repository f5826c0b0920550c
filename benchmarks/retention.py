"""Measures how long it takes to prune a month: `python -m benchmarks.retention`.

The benchmark starts its own PostgreSQL server with default settings, and fills a database with a
month's entries, deliveries and attempts, all ended and past their retention.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import psutil

from benchmarks.databases import PostgresDatabases

ENVIRONMENT = {
    "SECRET_KEY": "only for this benchmark, which serves nobody",
    "CDC_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "LOG_LEVEL": "ERROR",
    "DJANGO_SETTINGS_MODULE": "cdcproject.settings",
}
DAYS = 30
#: After the rows' month, when the log is pruned.
LATER = timedelta(days=120)
_SIZE = """
SELECT sum(pg_total_relation_size(c.oid)) / 2^20 FROM pg_class c
WHERE relkind = 'r' AND (relname LIKE 'audit_auditlogentry%' OR relname LIKE 'handlers_delivery%')
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--database", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.database:
        _measure(options.entries)
        return
    with tempfile.TemporaryDirectory(prefix="cdc-bench-") as folder:
        Path(folder).chmod(0o755)
        databases = PostgresDatabases(Path(folder))
        databases.start(lambda url: _product(url, folder, "manage.py", "migrate", "-v", "0"))
        try:
            url = databases.fresh().url
            what = ["--entries", str(options.entries), "--database", url]
            before = databases.cpu_seconds()
            _product(url, folder, "-m", "benchmarks.retention", *what)
            print(f"  the server in all, filling too: {databases.cpu_seconds() - before:,.0f} s")
        finally:
            databases.stop()


def _product(url: str, folder: str, *arguments: str) -> None:
    environment = {**os.environ, **ENVIRONMENT, "DATABASE_URL": url, "VAR_DIR": f"{folder}/var"}
    subprocess.run([sys.executable, *arguments], check=True, env=environment)


def _measure(entries: int) -> None:
    import django

    django.setup()
    from django.utils import timezone

    from benchmarks import fill
    from consumer.retention import prune

    now = timezone.now()
    fill.main(entries)
    size, began = _megabytes(), time.monotonic()
    pruned = prune(DAYS, now + LATER)
    seconds = time.monotonic() - began
    own = sum(psutil.Process().cpu_times()[:2])
    print(
        f"{dict(pruned.rows)} in {seconds:,.1f} s; {size:,.0f} MiB before, "
        f"{_megabytes():,.0f} after; {own:,.0f} s of CPU for the process"
    )


def _megabytes() -> float:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(_SIZE)
        return float(cursor.fetchone()[0])


if __name__ == "__main__":
    main()
