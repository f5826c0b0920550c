"""Converts database errors during a login to TokenStoreUnavailable.

A login runs on its own thread (`listeners.salesforce.tokens.persist`), never in the transaction of
the code that needs the token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, connection

from listeners.salesforce.tokens.store import TokenStoreUnavailable

Result = TypeVar("Result")


def answered(work: Callable[[], Result]) -> Result:
    """Return the result of `work`. Raises TokenStoreUnavailable for a database error."""
    try:
        return work()
    except (DatabaseError, InterfaceError) as error:
        if not connection.in_atomic_block:
            connection.close()  # it may be broken
        why = str(error).strip()
    raise TokenStoreUnavailable(why)
