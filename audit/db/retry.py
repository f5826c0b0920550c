"""Retry a unit of work after transient database errors, or leave it to the caller's next round.

The connection is closed after an error, so that the next try gets a new one. Neither is possible
inside a transaction, which the error has ended: a unit of work is one transaction or several.

OperationalError   the server or the connection failed, or the server aborted the transaction: a
                   deadlock, a serialization failure, a lock timeout, a locked SQLite file, a lost
                   connection, a server that is starting, stopping or full
InterfaceError     the connection was closed
InternalError      the session is unusable: its transaction was aborted, is read-only, or was ended
                   by the server after idling too long
ProgrammingError   a mistake in the code, or a session whose settings, such as its schema, changed
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog
from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connections,
)

from listeners.backoff import Backoff

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

#: The database did not execute the work.
UNAVAILABLE = (OperationalError, InterfaceError)
#: The session may be the cause: a new session may succeed.
SESSION = (InternalError, ProgrammingError)
#: The same work may succeed later, on a new connection.
TRANSIENT = (*UNAVAILABLE, InternalError)

BACKOFF = Backoff(0.2, 10.0)
#: For work under a claim that is renewed, such as settling.
LIMIT_SECONDS = 60.0


def retry(
    work: Callable[[], Result],
    what: str,
    *,
    also: tuple[type[Exception], ...] = (),
    limit: float = LIMIT_SECONDS,
    wait: Callable[[float], object] = time.sleep,
) -> Result:
    """Return what `work` returns, once the database lets it. Never inside a transaction.

    what    names the work in the log
    also    database errors that are retried in addition to UNAVAILABLE
    limit   seconds from the first failure until an error is raised; `math.inf`: never
    wait    a function that waits for some seconds; an exception that it raises ends the retries
    """
    _refuse_transaction()
    ends_at, may_renew_session = 0.0, True
    delays = BACKOFF.delays()
    while True:
        try:
            return work()
        except (DatabaseError, InterfaceError) as error:
            ends_at = ends_at or time.monotonic() + limit
            left = ends_at - time.monotonic()
            if left <= 0 or not _is_retried(error, also, may_renew_session=may_renew_session):
                raise
            may_renew_session = may_renew_session and not isinstance(error, SESSION)
            delay = min(next(delays), left)
            _log("retrying after a database error", what, error, seconds=round(delay, 1))
        _connection().close()
        wait(delay)


@contextmanager
def suppress_transient_errors(what: str) -> Iterator[None]:
    """Log a transient database error and leave the work to the caller's next round.

    Never inside a transaction.
    """
    _refuse_transaction()
    try:
        yield
    except TRANSIENT as error:
        if _connection().in_atomic_block:
            raise
        _log("left undone after a database error", what, error)
        _connection().close()


def describe(error: Exception) -> str:
    """Return the error's message without the lines in which PostgreSQL quotes data.

    The data may be masked elsewhere for the people who read the message.
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(line for line in lines if line in lines[:1] or line.startswith("DETAIL:"))


def _is_retried(
    error: Exception, also: tuple[type[Exception], ...], *, may_renew_session: bool
) -> bool:
    """Return whether to retry after an error: a transient one, or once with a new session.

    Inside a test's transaction nothing is retried, since that would end it.
    """
    may_pass = isinstance(error, (*UNAVAILABLE, *also))
    may_be_session = isinstance(error, SESSION) and may_renew_session
    return (may_pass or may_be_session) and not _connection().in_atomic_block


def _refuse_transaction() -> None:
    blocks = _connection().atomic_blocks
    if blocks and not blocks[-1]._from_testcase:
        raise RuntimeError(
            "Part of a transaction cannot be retried, since a database error ends all of it. Retry "
            "the whole transaction, from outside transaction.atomic()."
        )


def _connection() -> Any:
    return connections[DEFAULT_DB_ALIAS]


def _log(event: str, what: str, error: Exception, **fields: object) -> None:
    log.warning(event, what=what, error=type(error).__name__, reason=describe(error), **fields)
