"""Work that is done again while the database breaks it off: a deadlock, or it is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from django.db import (
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
)

log = structlog.get_logger(__name__)

#: Seconds between the tries.
PAUSES = (0.2, 1.0, 3.0, 5.0, 10.0)
Result = TypeVar("Result")


def insisted(trouble: str, work: Callable[[], Result]) -> Result:
    """What it came to at last, on a new connection where one was cut. Never inside a transaction.
    Raises what the database raises again and again.

    What the session may be to blame for (it is read-only, in an aborted transaction, or looks in
    another schema) is tried once more in a new one.
    """
    is_new_session = False
    for pause in PAUSES:
        try:
            return work()
        except (OperationalError, InterfaceError) as error:
            log.warning(trouble, reason=str(error).strip())
            connection.close()
            time.sleep(pause)
        except (InternalError, ProgrammingError) as error:
            if is_new_session or connection.in_atomic_block:  # a caller's is not ours to end
                raise
            log.warning(trouble, reason=str(error).strip())
            connection.close()
            is_new_session = True
    return work()
