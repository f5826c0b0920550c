"""Where a connection's tokens are kept: `memory`, `database` or `redis`, one slice each.

Each is a `listeners.salesforce.token_store.TokenStore`; what it keeps outside of this process is
encrypted. To add one, copy a slice and add it to `store_of`.
"""

from __future__ import annotations

from listeners.models import Connection
from listeners.salesforce.token_store import TokenStore
from listeners.token_stores.database import DatabaseStore
from listeners.token_stores.memory import memory_store
from listeners.token_stores.redis import RedisStore


def store_of(connection: Connection) -> TokenStore:
    match Connection.TokenStore(connection.token_store):
        case Connection.TokenStore.DATABASE:
            return DatabaseStore(connection.pk)
        case Connection.TokenStore.REDIS:
            return RedisStore(connection.pk)
        case Connection.TokenStore.MEMORY:
            return memory_store(connection.pk)
