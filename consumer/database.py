"""A database that does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from django.db import InterfaceError, InternalError, OperationalError, connection

log = structlog.get_logger(__name__)

#: An InternalError says among others that the server ended a transaction that stood still too long:
#: this process was paused in it.
AWAY = (OperationalError, InterfaceError, InternalError)


@contextmanager
def waiting_for_database() -> Iterator[None]:
    """What did not work is left to the caller's next round."""
    try:
        yield
    except AWAY as error:
        log.warning("the database does not answer", reason=str(error).strip())
        connection.close()
