"""The token store in the memory of a process; each process logs in separately."""

from __future__ import annotations

import threading

from django.db import connection

from listeners.salesforce.tokens.store import MemoryStore

_guard = threading.Lock()


class ProcessStore(MemoryStore):
    def close(self) -> None:
        """Close the database connection, which the ledger uses."""
        connection.close()


_stores: dict[int, ProcessStore] = {}


def memory_store(connection_id: int) -> ProcessStore:
    """Return the process's store for this connection."""
    with _guard:
        return _stores.setdefault(connection_id, ProcessStore())
