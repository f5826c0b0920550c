"""`python -m benchmarks.fill ENTRIES`: a database whose audit log is that long, from earlier."""

from __future__ import annotations

import sys

import django

#: The past only: what could be published, run or tried again would be other work.
PAST = """
UPDATE handlers_delivery SET state = 'succeeded', finished_at = now(), due_at = NULL,
    claim_deadline = NULL
WHERE state IN ('blocked', 'ready', 'queued', 'running', 'retrying')
"""


def main(entries: int) -> None:
    from django.core.management import call_command
    from django.db import connection

    from benchmarks import console_data

    call_command("migrate", verbosity=0)
    if console_data.is_empty():
        console_data.fill(entries)
    with connection.cursor() as cursor:
        cursor.execute(PAST)
        cursor.execute("VACUUM ANALYZE handlers_delivery")


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]))
