"""The database's clock: one for all machines, whatever their own clocks say.

Who compares a time with one that another machine may have written asks here: until when a claim
holds, when a retry is due, since when a message waits.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from django.db import Error, connection

_NOW = {
    "postgresql": "SELECT clock_timestamp()",
    "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
}
#: What was read is moved on by this process's steady clock for so many seconds.
READ_EVERY = 1.0


class DatabaseClock:
    def __init__(self) -> None:
        self._read: tuple[datetime, float] | None = None

    def read(self) -> datetime:
        """The time now. One query."""
        asked_at = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(_NOW[connection.vendor])
            [found] = cursor.fetchone()
        now: datetime = found if isinstance(found, datetime) else datetime.fromisoformat(found)
        self._read = (now.astimezone(UTC) if now.tzinfo else now.replace(tzinfo=UTC)), asked_at
        return self._read[0]

    def now(self) -> datetime:
        """The time now, from what was read a moment ago. While the database does not answer, and
        inside a transaction, from what was read before that."""
        known = self._read
        if known is None:
            return self.read()
        elapsed = time.monotonic() - known[1]
        if elapsed > READ_EVERY and not connection.in_atomic_block:
            try:
                return self.read()
            except Error:
                pass
        return known[0] + timedelta(seconds=elapsed)


database_clock = DatabaseClock()
