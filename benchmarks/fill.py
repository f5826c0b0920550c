"""`python -m benchmarks.fill ENTRIES [DAYS]`: fills a database with that many entries of the past,
the newest of them so many days old."""

from __future__ import annotations

import sys
from datetime import timedelta

import django

#: Ends all deliveries: the relay or a worker would otherwise publish, run or retry some of them.
PAST = """
UPDATE handlers_delivery SET state = 'succeeded', finished_at = now(), due_at = NULL,
    claim_deadline = NULL
WHERE state IN ('blocked', 'ready', 'queued', 'running', 'retrying')
"""


def main(entries: int, days: int = 0) -> None:
    from django.core.management import call_command
    from django.db import connection
    from django.utils import timezone

    from benchmarks import console_data

    call_command("migrate", verbosity=0)
    if console_data.is_empty():
        console_data.fill(entries, timezone.now() - timedelta(days=days))
    with connection.cursor() as cursor:
        cursor.execute(PAST)
        cursor.execute("VACUUM ANALYZE handlers_delivery")


if __name__ == "__main__":
    django.setup()
    main(*map(int, sys.argv[1:]))
