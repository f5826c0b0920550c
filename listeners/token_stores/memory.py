"""Tokens in the memory of this process: another process logs in for itself."""

from __future__ import annotations

import threading

from django.db import connection

from listeners.salesforce.tokens.store import MemoryStore

_guard = threading.Lock()


class ProcessStore(MemoryStore):
    def close(self) -> None:
        """The ledger beside it uses the database."""
        connection.close()


_stores: dict[int, ProcessStore] = {}


def memory_store(connection_id: int) -> ProcessStore:
    """The one store of this process for this connection."""
    with _guard:
        return _stores.setdefault(connection_id, ProcessStore())
