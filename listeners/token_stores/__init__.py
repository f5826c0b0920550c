"""The token stores `memory`, `database` and `redis`.

Each implements `listeners.salesforce.tokens.store.TokenStore` and encrypts tokens that it stores
outside of the process. To add a store, copy `database.py`, and add the store to `store_of`
and `former_stores`.
"""

from __future__ import annotations

import threading

from django.conf import settings
from django.db import connection as database_connection

from listeners.models import Connection
from listeners.salesforce.tokens.store import MemoryStore, TokenStore
from listeners.token_stores.database import DatabaseStore
from listeners.token_stores.redis import RedisStore


class ProcessStore(MemoryStore):
    """The token store in the memory of a process; each process logs in separately."""

    def close(self) -> None:
        """Close the database connection, which the ledger uses."""
        database_connection.close()


_guard = threading.Lock()
_process_stores: dict[int, ProcessStore] = {}


def memory_store(connection_id: int) -> ProcessStore:
    """Return the process's store for this connection."""
    with _guard:
        return _process_stores.setdefault(connection_id, ProcessStore())


def former_stores(connection: Connection) -> list[TokenStore]:
    """Return the other stores, which may hold a rotated refresh token from before a change."""
    chosen = Connection.TokenStore(connection.token_store)
    found: list[TokenStore] = []
    if chosen is not Connection.TokenStore.DATABASE:
        found.append(DatabaseStore(connection.pk))
    if chosen is not Connection.TokenStore.REDIS and settings.REDIS_URL:
        found.append(RedisStore(connection.pk))
    return found


def store_of(connection: Connection) -> TokenStore:
    match Connection.TokenStore(connection.token_store):
        case Connection.TokenStore.DATABASE:
            return DatabaseStore(connection.pk)
        case Connection.TokenStore.REDIS:
            return RedisStore(connection.pk)
        case Connection.TokenStore.MEMORY:
            return memory_store(connection.pk)
