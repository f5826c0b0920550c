"""The token store in Redis, encrypted.

Configure Redis with `appendonly yes`: if it loses a rotated refresh token, an operator has to
authorize the connection again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import redis
from django.conf import settings
from django.db import connection

from listeners.models import TokenState
from listeners.salesforce.tokens.store import StoredTokens, TokenStoreUnavailable
from listeners.secrets.encrypted_field import Secret
from listeners.token_stores.database import answered, readable

Result = TypeVar("Result")

_TIMEOUT = 5.0  # seconds, to connect and for an answer
_SYNC_MS = 1000

# KEYS: lock, fence, kept (a hash, by seed). The lock's value is its fence, and a fence only grows:
# if Redis lost it, the next one is the current time, which is above all earlier fences. If Redis
# lost the fence of the current holder, that holder is still the last one and may write.
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

    def load(self, seed: str) -> StoredTokens:
        stored = self._asked(lambda: self._redis().hget(self._keys[2], seed))
        return readable(Secret(str(stored))) if stored else StoredTokens()

    def lock(self, owner: str, seconds: float) -> int | None:
        fence = self._script(_LOCK, round(seconds * 1000))
        return None if fence is None else int(fence)

    def extend(self, fence: int, seconds: float) -> bool:
        return bool(self._script(_EXTEND, fence, round(seconds * 1000)))

    def save(self, fence: int, kept: StoredTokens) -> bool:
        text = Secret.of(kept.to_json()).stored
        saved = bool(self._script(_SAVE, fence, kept.seed, text))
        # Wait until Redis has written to disk; a server without appendonly refuses the command.
        with suppress(redis.RedisError):
            self._redis().waitaof(1, 0, _SYNC_MS)
        return saved

    def stored(self) -> dict[str, Secret]:
        """Return the connection's stored tokens by seed, still encrypted."""
        kept: Any = self._asked(lambda: self._redis().hgetall(self._keys[2]))
        return {str(seed): Secret(str(text)) for seed, text in kept.items()}

    def replace(self, seed: str, before: Secret, after: Secret) -> bool:
        """Replace the tokens of a seed; False if they are no longer equal to `before`."""
        return bool(self._script(_REPLACE, seed, before.stored, after.stored))

    def unlock(self, fence: int) -> None:
        self._script(_UNLOCK, fence)

    def close(self) -> None:
        """Close the database connection; the Redis client's pool manages its own connections."""
        connection.close()

    def writes_to_disk(self) -> bool | None:
        """Return whether `appendonly` is on; None if Redis refuses to say.

        Raises TokenStoreUnavailable.
        """
        try:
            config = self._redis().config_get("appendonly")
        except redis.ResponseError:
            return None
        except redis.RedisError as error:
            raise TokenStoreUnavailable(f"Redis, {type(error).__name__}") from None
        return bool(dict(config).get("appendonly") == "yes")

    @staticmethod
    def _redis() -> redis.Redis:
        if not settings.REDIS_URL:
            raise TokenStoreUnavailable("REDIS_URL is not set, and the broker is not Redis")
        return _client(settings.REDIS_URL)

    def _script(self, text: str, *arguments: Any) -> Any:
        keys = self._keys
        return self._asked(lambda: self._redis().eval(text, len(keys), *keys, *arguments))

    @cached_property
    def _keys(self) -> list[str]:
        """The Redis keys of the connection, with a random part, because several installations may
        share one Redis."""
        states = TokenState.objects
        row, _ = answered(lambda: states.get_or_create(connection_id=self._connection_id))
        return [f"salesforce-cdc:{{{row.key}}}:{part}" for part in ("lock", "fence", "kept")]

    def _asked(self, ask: Callable[[], Result]) -> Result:
        try:
            return ask()
        except redis.RedisError as error:
            why = f"Redis, {type(error).__name__}"  # the message may contain the URL
        raise TokenStoreUnavailable(why)
