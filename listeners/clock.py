"""The database's clock: one for all machines, whatever their own clocks say.

Who compares a time with one that another machine may have written asks here: until when a claim
holds, when a retry is due, since when a message waits.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from django.db import Error, connection
from django.utils import timezone

_NOW = {
    "postgresql": "SELECT clock_timestamp()",
    "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
}
#: What was read so many seconds ago at most is moved on by this process's steady clock.
READ_EVERY = 1.0


class DatabaseClock:
    def __init__(self) -> None:
        self._read: tuple[datetime, float] | None = None

    def read(self) -> datetime:
        """The time now. One query."""
        with connection.cursor() as cursor:
            asked_at = time.monotonic()  # once connected: that may take long
            cursor.execute(_NOW[connection.vendor])
            [found] = cursor.fetchone()
        now: datetime = found if isinstance(found, datetime) else datetime.fromisoformat(found)
        self._read = (now.astimezone(UTC) if now.tzinfo else now.replace(tzinfo=UTC)), asked_at
        return self._read[0]

    def now(self) -> datetime:
        """The time now; a query at most each second. Inside a transaction, and while the database
        does not answer, it is an estimate. Raises the database's errors when it never answered."""
        if self._read is None:
            return self.read()
        if time.monotonic() - self._read[1] > READ_EVERY and not connection.in_atomic_block:
            with suppress(Error):
                return self.read()
        return self.estimate()

    def estimate(self) -> datetime:
        """The time now, from when it was last read: no query. This machine's own where it never
        was."""
        if self._read is None:
            return timezone.now()
        read, asked_at = self._read
        return read + timedelta(seconds=time.monotonic() - asked_at)


database_clock = DatabaseClock()
