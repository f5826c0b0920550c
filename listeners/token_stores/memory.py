"""Tokens in the memory of this process: another process logs in for itself."""

from __future__ import annotations

import threading

from listeners.salesforce.token_store import MemoryStore

_guard = threading.Lock()
_stores: dict[int, MemoryStore] = {}


def memory_store(connection_id: int) -> MemoryStore:
    """The one store of this process for this connection."""
    with _guard:
        return _stores.setdefault(connection_id, MemoryStore())
