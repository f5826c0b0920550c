"""Tokens in Redis, encrypted. Let it write to disk (appendonly yes): what it forgets is gone, and a
rotated refresh token has to be authorized anew."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar

import redis
from django.conf import settings
from django.db import connection

from listeners.models import TokenState
from listeners.salesforce.tokens.store import Kept, TokenStoreUnavailable
from listeners.secrets.encrypted_field import Secret
from listeners.token_stores.database import readable
from listeners.token_stores.errors import answered

Result = TypeVar("Result")

_TIMEOUT = 5.0  # seconds, to connect and for an answer
_SYNC_MS = 1000

# KEYS: lock, fence, kept (a hash, by seed). A lock holds its fence, and a fence only grows: where
# Redis forgot it, it begins at the time, above all that were. A holder whose fence was forgotten
# still is the last one.
_LOCK = """
if redis.call('exists', KEYS[1]) == 1 then return false end
local fence = redis.call('incr', KEYS[2])
if fence == 1 then
    fence = tonumber(redis.call('time')[1])
    redis.call('set', KEYS[2], fence)
end
redis.call('set', KEYS[1], fence, 'px', ARGV[1])
return fence
"""
_EXTEND = """
if (redis.call('get', KEYS[2]) or ARGV[1]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[2], ARGV[1])
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
return 1
"""
_SAVE = """
if (redis.call('get', KEYS[2]) or ARGV[1]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[2], ARGV[1])
redis.call('hset', KEYS[3], ARGV[2], ARGV[3])
return 1
"""
_REPLACE = """
if redis.call('hget', KEYS[3], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('hset', KEYS[3], ARGV[1], ARGV[3])
return 1
"""
_UNLOCK = """
if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end
return 1
"""


@lru_cache
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, decode_responses=True
    )


class RedisStore:
    def __init__(self, connection_id: int) -> None:
        self._connection_id = connection_id
        self._names: list[str] = []

    def load(self, seed: str) -> Kept:
        stored = self._asked(lambda: self._redis().hget(self._keys()[2], seed))
        return readable(Secret(str(stored))) if stored else Kept()

    def lock(self, owner: str, seconds: float) -> int | None:
        fence = self._script(_LOCK, round(seconds * 1000))
        return None if fence is None else int(fence)

    def extend(self, fence: int, seconds: float) -> bool:
        return bool(self._script(_EXTEND, fence, round(seconds * 1000)))

    def save(self, fence: int, kept: Kept) -> bool:
        text = Secret.of(kept.to_json()).stored
        saved = bool(self._script(_SAVE, fence, kept.seed, text))
        # Wait for its disk where it has one: a server without appendonly refuses to promise it.
        with suppress(redis.RedisError):
            self._redis().waitaof(1, 0, _SYNC_MS)
        return saved

    def stored(self) -> dict[str, Secret]:
        """All that is kept of the connection, by its seed, as it is encrypted."""
        kept: Any = self._asked(lambda: self._redis().hgetall(self._keys()[2]))
        return {str(seed): Secret(str(text)) for seed, text in kept.items()}

    def replace(self, seed: str, before: Secret, after: Secret) -> bool:
        """Unless it changed meanwhile."""
        return bool(self._script(_REPLACE, seed, before.stored, after.stored))

    def unlock(self, fence: int) -> None:
        self._script(_UNLOCK, fence)

    def close(self) -> None:
        """Redis connections go back to the pool by themselves; the row's key came from the
        database."""
        connection.close()

    def writes_to_disk(self) -> bool | None:
        """None where the server does not tell. Raises TokenStoreUnavailable."""
        try:
            told = self._redis().config_get("appendonly")
        except redis.ResponseError:
            return None
        except redis.RedisError as error:
            raise TokenStoreUnavailable(f"Redis, {type(error).__name__}") from None
        return bool(dict(told).get("appendonly") == "yes")

    @staticmethod
    def _redis() -> redis.Redis:
        if not settings.REDIS_URL:
            raise TokenStoreUnavailable("REDIS_URL is not set, and the broker is no Redis")
        return _client(settings.REDIS_URL)

    def _script(self, text: str, *arguments: Any) -> Any:
        keys = self._keys()
        return self._asked(lambda: self._redis().eval(text, len(keys), *keys, *arguments))

    def _keys(self) -> list[str]:
        """Named by the row's random key: several installations may share one Redis."""
        if not self._names:
            key = answered(self._key)
            self._names = [f"salesforce-cdc:{{{key}}}:{part}" for part in ("lock", "fence", "kept")]
        return self._names

    def _key(self) -> str:
        row, _ = TokenState.objects.get_or_create(connection_id=self._connection_id)
        return row.key

    def _asked(self, ask: Callable[[], Result]) -> Result:
        try:
            return ask()
        except redis.RedisError as error:
            why = f"Redis, {type(error).__name__}"  # its words may hold the address
        raise TokenStoreUnavailable(why)
