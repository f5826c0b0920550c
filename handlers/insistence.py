"""Work that is done again while the database breaks it off: a deadlock, or it is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from django.db import InterfaceError, OperationalError, connection

log = structlog.get_logger(__name__)

#: Seconds between the tries.
PAUSES = (0.2, 1.0, 3.0, 5.0, 10.0)
Result = TypeVar("Result")


def insisted(trouble: str, work: Callable[[], Result]) -> Result:
    """What it came to at last, on a new connection where one was cut. Never inside a transaction.
    Raises what the database raises again and again."""
    for pause in PAUSES:
        try:
            return work()
        except (OperationalError, InterfaceError) as error:
            log.warning(trouble, reason=str(error).strip())
            connection.close()
            time.sleep(pause)
    return work()
