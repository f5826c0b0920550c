"""What a partitioned audit log needs from time to time."""

from __future__ import annotations

from datetime import datetime

import structlog
from django.db import DatabaseError, connection

from audit.partitions import ahead, splitting
from audit.partitions.brief import Busy
from audit.partitions.table import TABLE, is_partitioned, run

log = structlog.get_logger(__name__)


def keep_up(now: datetime) -> list[str]:
    """Make parts for the months that come; the names of the new ones. Never inside a transaction.

    What does not work is logged and left to the next time: recording goes on without.
    """
    if connection.vendor != "postgresql":
        return []
    try:
        if is_partitioned():
            return ahead.make(now)
        splitting.forget_late_checks(now)
    except (Busy, DatabaseError) as error:
        log.warning("parts of the audit log are made later", reason=str(error).strip())
    return []


def keep_up_and_look(now: datetime) -> None:
    """The same, and have the planner look at new ones: autovacuum looks at no partitioned table."""
    if keep_up(now):
        run(f"ANALYZE {TABLE}")
