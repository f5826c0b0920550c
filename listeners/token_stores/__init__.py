"""The token stores `memory`, `database` and `redis`, one module each.

Each implements `listeners.salesforce.tokens.store.TokenStore` and encrypts tokens that it stores
outside of the process. To add a store, copy a module and add the store to `store_of`.
"""

from __future__ import annotations

from django.conf import settings

from listeners.models import Connection
from listeners.salesforce.tokens.store import TokenStore
from listeners.token_stores.database import DatabaseStore
from listeners.token_stores.memory import memory_store
from listeners.token_stores.redis import RedisStore


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
    """Return the connection's token store."""
    match Connection.TokenStore(connection.token_store):
        case Connection.TokenStore.DATABASE:
            return DatabaseStore(connection.pk)
        case Connection.TokenStore.REDIS:
            return RedisStore(connection.pk)
        case Connection.TokenStore.MEMORY:
            return memory_store(connection.pk)
