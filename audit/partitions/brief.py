"""Transactions that lock the whole audit log for a moment, and wait no longer than one for that;
and what is made of them, by one process at a time.

Busy          others use the audit log for longer; nothing was changed
AnotherRuns   another process is changing the table; nothing was changed
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import OperationalError, connection, transaction

from audit.partitions.table import run

#: Seconds to wait for a lock: who comes later stands in line behind it. Longer than PostgreSQL
#: takes to see a deadlock, or to send autovacuum away (1 s).
PATIENCE = 2.0
#: Seconds between two tries, in which those in line go on.
PAUSE = 3.0

_LOCK_NOT_AVAILABLE, _DEADLOCK = "55P03", "40P01"

CHANGING = "audit.partitions.changing"

Answer = TypeVar("Answer")


class Busy(Exception):
    """Others use the audit log for longer: an export, say, or a backup. Try again after that."""


class AnotherRuns(Exception):
    """Another `partition_audit_log` is at work: let it end, or stop it and run this again."""


@contextmanager
def alone() -> Iterator[None]:
    """Of two at once the second would prepare what the first has done, and leave that behind.
    Raises AnotherRuns.

    In a transaction of a connection of its own: behind a pooler that gives each transaction another
    session, the lock of a session would be let go in another one, and stay.
    """
    beside = connection.copy()
    try:
        beside.set_autocommit(False)
        with beside.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s))", [CHANGING])
            if cursor.fetchone() != (True,):
                raise AnotherRuns(AnotherRuns.__doc__)
        yield
    finally:
        beside.close()


@contextmanager
def brief() -> Iterator[None]:
    """One transaction; never inside another. Raises Busy."""
    try:
        with transaction.atomic(durable=True):
            run(f"SET LOCAL lock_timeout = '{PATIENCE * 1000:.0f}ms'")
            yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") in (_LOCK_NOT_AVAILABLE, _DEADLOCK):
            raise Busy(Busy.__doc__) from error
        raise


def insist(step: Callable[[], Answer], tries: int) -> Answer:
    """What `step` gives, which is brief. Raises Busy when it was so each time."""
    for _ in range(tries - 1):
        try:
            return step()
        except Busy:
            time.sleep(PAUSE)
    return step()
