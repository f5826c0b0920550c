"""Where a connection's tokens are kept: `memory`, `database` or `redis`, one slice each.

Each is a `listeners.salesforce.tokens.store.TokenStore`; what it keeps outside of this process is
encrypted. To add one, copy a slice and add it to `store_of`.
"""

from __future__ import annotations

from django.conf import settings

from listeners.models import Connection
from listeners.salesforce.tokens.store import TokenStore
from listeners.token_stores.database import DatabaseStore
from listeners.token_stores.memory import memory_store
from listeners.token_stores.redis import RedisStore


def former_stores(connection: Connection) -> list[TokenStore]:
    """Where a rotated refresh token may have been left when the store was changed."""
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
