"""A database that does not answer, or refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from django.db import InterfaceError, InternalError, OperationalError, connection

log = structlog.get_logger(__name__)

#: An InternalError says among others that the server ended a transaction that stood still too long:
#: this process was paused in it.
AWAY = (OperationalError, InterfaceError, InternalError)


def refusal(error: Exception) -> str:
    """What is wrong, without the lines in which PostgreSQL quotes the data: in their errors people
    may read what is masked for them elsewhere."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(line for line in lines if line in lines[:1] or line.startswith("DETAIL:"))


@contextmanager
def waiting_for_database() -> Iterator[None]:
    """What did not work is left to the caller's next round."""
    try:
        yield
    except AWAY as error:
        log.warning("the database does not answer", reason=str(error).strip())
        connection.close()
