"""What it takes to prune a month: `python -m benchmarks.retention`.

Two databases on a PostgreSQL of their own with its own settings, each filled with a month's
entries, deliveries and attempts: one audit log is one table, the other is partitioned. All of it is
over and old.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
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
#: Before the rows' month, when the log is partitioned; and after it, when it is pruned.
EARLIER, LATER = timedelta(days=75), timedelta(days=120)
_SIZE = """
SELECT sum(pg_total_relation_size(c.oid)) / 2^20 FROM pg_class c
WHERE relkind = 'r' AND (relname LIKE 'audit_auditlogentry%' OR relname LIKE 'handlers_delivery%')
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--database", help=argparse.SUPPRESS)
    parser.add_argument("--partitioned", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.database:
        _measure(options.entries, is_partitioned=options.partitioned)
        return
    with tempfile.TemporaryDirectory(prefix="cdc-bench-") as folder:
        Path(folder).chmod(0o755)
        databases = PostgresDatabases(Path(folder))
        databases.start(lambda url: _product(url, folder, "manage.py", "migrate", "-v", "0"))
        try:
            for way in ([], ["--partitioned"]):
                url = databases.fresh().url
                what = ["--entries", str(options.entries), "--database", url, *way]
                before = databases.cpu_seconds()
                _product(url, folder, "-m", "benchmarks.retention", *what)
                print(
                    f"  the server in all, filling too: {databases.cpu_seconds() - before:,.0f} s"
                )
        finally:
            databases.stop()


def _product(url: str, folder: str, *arguments: str) -> None:
    environment = {**os.environ, **ENVIRONMENT, "DATABASE_URL": url, "VAR_DIR": f"{folder}/var"}
    subprocess.run([sys.executable, *arguments], check=True, env=environment)


def _measure(entries: int, *, is_partitioned: bool) -> None:
    import django

    django.setup()
    from django.utils import timezone

    from benchmarks import fill
    from consumer import prune

    now = timezone.now()
    if is_partitioned:
        _partition(now - EARLIER, now)
    fill.main(entries)
    size, began = _megabytes(), time.monotonic()
    pruned = prune.prune(DAYS, now + LATER)
    seconds = time.monotonic() - began
    own = sum(psutil.Process().cpu_times()[:2])
    print(
        f"{'partitioned' if is_partitioned else 'one table'}: {dict(pruned.rows)} in "
        f"{seconds:,.1f} s; {size:,.0f} MiB before, {_megabytes():,.0f} after; "
        f"{own:,.0f} s of CPU for the process"
    )


def _partition(since: datetime, now: datetime) -> None:
    from audit.partitions import ahead, splitting

    for _, step in splitting.steps(since):
        step()
    while since < now:
        since += timedelta(days=25)
        ahead.make(since)


def _megabytes() -> float:
    from audit.partitions.table import rows

    return float(rows(_SIZE)[0][0])


if __name__ == "__main__":
    main()
