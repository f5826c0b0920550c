"""Database work of a login: the database's refusals in the words of the token store.

Logins run on threads of their own (`listeners.salesforce.tokens.persist`), never in the transaction
of whoever needed the token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, connection

from listeners.salesforce.tokens.store import TokenStoreUnavailable

Result = TypeVar("Result")


def answered(work: Callable[[], Result]) -> Result:
    """Do `work`. Raises TokenStoreUnavailable when the database does not answer or refuses."""
    try:
        return work()
    except (DatabaseError, InterfaceError) as error:
        if not connection.in_atomic_block:
            connection.close()  # it may be broken
        why = str(error).strip()
    raise TokenStoreUnavailable(why)
