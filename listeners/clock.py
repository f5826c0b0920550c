"""The database's clock, which all machines share.

Code that compares a time with one that another machine may have written, such as the end of a claim
or the time of a retry, must use this clock instead of the machine's own.
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
#: Seconds for which a reading is extrapolated with the process's monotonic clock.
READ_EVERY = 1.0


class DatabaseClock:
    def __init__(self) -> None:
        self._read: tuple[datetime, float] | None = None

    def read(self) -> datetime:
        """Return the current time, with one query."""
        with connection.cursor() as cursor:
            asked_at = time.monotonic()  # after connecting, which may take long
            cursor.execute(_NOW[connection.vendor])
            [found] = cursor.fetchone()
        now: datetime = found if isinstance(found, datetime) else datetime.fromisoformat(found)
        self._read = (now.astimezone(UTC) if now.tzinfo else now.replace(tzinfo=UTC)), asked_at
        return self._read[0]

    def now(self) -> datetime:
        """Return the current time, with at most one query each second.

        Inside a transaction, and while the database does not answer, return an estimate. Raises a
        database error if the clock was never read before.
        """
        if self._read is None:
            return self.read()
        if time.monotonic() - self._read[1] > READ_EVERY and not connection.in_atomic_block:
            with suppress(Error):
                return self.read()
        return self.estimate()

    def estimate(self) -> datetime:
        """Return the current time extrapolated from the last reading, without a query.

        Without a reading, return this machine's time.
        """
        if self._read is None:
            return timezone.now()
        read, asked_at = self._read
        return read + timedelta(seconds=time.monotonic() - asked_at)


database_clock = DatabaseClock()
