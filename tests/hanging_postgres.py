"""A PostgreSQL server that does not answer, although its machine's kernel accepts connections."""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
from django.db import connection

_SESSIONS = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
"""


@contextmanager
def hanging_postgres() -> Iterator[None]:
    """Stop the connections to this test's database, and let no process open another one.

    Tests that run at the same time share the server: their connections go on, and only one test at
    a time stops it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        [folder] = cursor.fetchone()
    with Path(folder, "postmaster.pid").open() as lock, ExitStack() as resuming:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with connection.cursor() as cursor:
            cursor.execute(_SESSIONS)
            sessions = [pid for (pid,) in cursor.fetchall()]
        # The server first, so that it removes no session's process that ends meanwhile.
        for pid in (int(lock.readline()), *sessions):
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                resuming.callback(process.resume)
                process.suspend()
        yield
