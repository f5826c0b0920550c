"""Tasks beside a test, each with a database connection of its own."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from django.db import connection


def in_threads(*tasks: Callable[[], object]) -> list[Future[None]]:
    """Begin each; `result()` waits for its end, and raises what it raised."""

    def run(task: Callable[[], object]) -> None:
        try:
            task()
        finally:
            connection.close()

    pool = ThreadPoolExecutor(len(tasks))
    return [pool.submit(run, task) for task in tasks]


def somebody_waits_for_a_lock() -> bool:
    """On PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])
