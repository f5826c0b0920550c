"""End the sessions of processes that were suspended while they copied rows to PostgreSQL.

PostgreSQL itself ends the session of a process that was suspended elsewhere in a transaction
(`limit_sessions`). A session whose COPY waits for rows is not idle and cannot be cancelled: it
would keep its locks for as long as the process is suspended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from django.db import connection
from django.db.models import Model

from audit.db.prepared import prepared_cursor

log = structlog.get_logger(__name__)

#: Of this role alone, whose sessions it may end.
_WAITING = """
SELECT copy.pid, activity.query_start, copy.bytes_processed
FROM pg_stat_progress_copy AS copy JOIN pg_stat_activity AS activity USING (pid)
WHERE copy.datname = current_database() AND activity.usename = current_user
    AND copy.command = 'COPY FROM' AND copy.type = 'PIPE'
    AND copy.relid = ANY(%s::text[]::regclass[]) AND activity.wait_event = 'ClientRead'
"""
_END = """
SELECT pid, application_name, client_addr::text, pg_terminate_backend(pid)
FROM pg_stat_activity WHERE pid = ANY(%s)
"""


class PausedCopies:
    """The COPYs into the tables of some models that wait for their processes."""

    def __init__(self, models: Sequence[type[Model]], seconds: float) -> None:
        """`seconds`: how long a COPY may wait without any progress."""
        self._tables = [connection.ops.quote_name(model._meta.db_table) for model in models]
        self._seconds = seconds
        self._waiting_since: dict[tuple[Any, ...], float] = {}

    def end(self, now: float) -> None:
        """End the sessions that have waited too long. Call it each second; never inside a
        transaction, which would read the same state again. `now`: monotonic seconds."""
        if connection.vendor != "postgresql":
            return
        with prepared_cursor() as cursor:
            cursor.execute(_WAITING, [self._tables])
            waiting = cursor.fetchall()
            since = {copy: self._waiting_since.get(copy, now) for copy in waiting}
            self._waiting_since = since
            paused = [copy[0] for copy in waiting if now - since[copy] >= self._seconds]
            if not paused:
                return
            cursor.execute(_END, [paused])
            for pid, name, address, _ in cursor.fetchall():
                log.warning(
                    "database session ended: its process was suspended while it copied rows",
                    pid=pid,
                    application_name=name,
                    client=address,
                )
