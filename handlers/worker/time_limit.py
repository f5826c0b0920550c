"""How long a claim holds: until the run's time limit, in the pools of Celery that enforce one.

In other pools, which run tasks in threads, a run lasts until its handler returns. Its claim is then
renewed as long, since the run would otherwise be started again beside itself.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection

from cdcproject.conf.db_timeouts import limit_sessions

log = structlog.get_logger(__name__)

#: How long after a run's time limit its worker may take to end it, before it counts as hung.
GRACE = timedelta(seconds=30)
#: The modules of the pools that end a run at its time limit.
_ENFORCING = frozenset({"celery.concurrency.prefork", "celery.concurrency.gevent"})

_is_enforced = True


def claim_span() -> timedelta:
    """Return how long a claim holds without renewal."""
    longest = timedelta(seconds=settings.CDC_RUN_SECONDS) + GRACE
    return min(timedelta(seconds=settings.CDC_CLAIM_SECONDS), longest)


def deadline(started_at: datetime, now: datetime) -> datetime:
    """Return the deadline of a claim renewed now, which the run's time limit caps."""
    renewed = now + timedelta(seconds=settings.CDC_CLAIM_SECONDS)
    if not _is_enforced:
        return renewed
    return min(renewed, started_at + timedelta(seconds=settings.CDC_RUN_SECONDS) + GRACE)


def follow(pool: Any) -> None:
    """Lift the limits on claims and idle transactions if the worker's pool enforces no time limits.

    In the worker's main process, before its first run.
    """
    global _is_enforced  # noqa: PLW0603
    if not _is_enforced or _ENFORCING & {kind.__module__ for kind in type(pool).__mro__}:
        return
    _is_enforced = False
    limit_sessions(idle_in_transaction=0)
    connection.close()  # its session has the limit
    log.warning(
        "this worker's pool has no time limits: a run that hangs is never ended, keeps its place "
        "in the worker, and holds back later changes of its record. Set timeouts in the handlers, "
        "or use the prefork pool",
        pool=type(pool).__module__.rpartition(".")[2],
    )
