"""Runs tasks in threads beside a test, each with its own database connection."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from django.db import connection


def in_threads(*tasks: Callable[[], object]) -> list[Future[None]]:
    """Start each task in a thread; `result()` waits for its end, and raises its exception."""

    def run(task: Callable[[], object]) -> None:
        try:
            task()
        finally:
            connection.close()

    pool = ThreadPoolExecutor(len(tasks))
    return [pool.submit(run, task) for task in tasks]


def let_the_other_be_broken_off() -> None:
    """Keep PostgreSQL from cancelling this transaction in a deadlock. It cancels the session that
    detects the deadlock, 1 s after that session began to wait: the other must begin last."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL deadlock_timeout = '10min'")


def waiting_for_locks() -> int:
    """Return how many sessions of this test's database wait for a lock, on PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # or a transaction sees the same again
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        [number] = cursor.fetchone()
        return int(number)


def somebody_waits_for_a_lock() -> bool:
    """Return whether a session of this test's database waits for a lock, on PostgreSQL."""
    return waiting_for_locks() > 0
