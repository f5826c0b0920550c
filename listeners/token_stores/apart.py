"""Database work of a login, never in the transaction of whoever needed the token.

A handler's transaction may be rolled back; a refresh token that was stored in it would be lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, connection, connections

from listeners.salesforce.token_store import TokenStoreUnavailable

Result = TypeVar("Result")


def apart(work: Callable[[], Result]) -> Result:
    """Do `work` outside of the caller's transaction, if there is one.

    Raises TokenStoreUnavailable when the database does not answer or refuses.
    """
    return _beside(work) if connection.in_atomic_block else _answered(work)


def _answered(work: Callable[[], Result]) -> Result:
    try:
        return work()
    except (DatabaseError, InterfaceError) as error:
        connection.close()  # it may be broken, and no transaction hangs on it
        why = str(error).strip()
    raise TokenStoreUnavailable(why)


def _beside(work: Callable[[], Result]) -> Result:
    """On a thread of its own, and so on a database connection of its own."""
    results: list[Result] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(_answered(work))
        except TokenStoreUnavailable as failure:
            failures.append(failure)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, name="tokens")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]
