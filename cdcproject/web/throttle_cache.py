"""The cache for counts that web processes share: requests by user, and failed logins.

It is in Redis when there is one. While Redis is unavailable, each process counts for itself, since
logins must not depend on Redis.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from django.db import connection, connections, transaction
from redis.exceptions import RedisError, ResponseError

log = structlog.get_logger(__name__)

#: Seconds for each command of Redis, and until an unavailable Redis is tried again.
_TIMEOUT, _PAUSE = 0.5, 10.0
#: Counts that a process keeps on its own. Guesses of 300 names would evict Django's default of 300.
_MOST_ALONE = 20_000
#: The most bytes of a value: the channels of a large org take some hundred thousand.
LARGEST = 2_000_000
#: Texts in Redis's errors about a value of another type, which have no code.
_OF_ANOTHER_KIND = ("WRONGTYPE", "not an integer", "would overflow")


class Json:
    """A serializer in place of pickle, with which any writer to Redis could execute code here.

    Integers are stored as they are, so that Redis can count.
    """

    def dumps(self, value: Any) -> int | bytes:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return value if is_number else json.dumps(value).encode()

    def loads(self, stored: bytes | str) -> Any:
        return json.loads(stored)


class Unreadable(Exception):
    """The cache has a value that is not ours. It is deleted and counts as absent."""


class _Bounded(RedisCacheClient):
    """A client that refuses values larger than ours can be."""

    def get(self, key: Any, default: Any) -> Any:
        value = self.get_client(key).getrange(key, 0, LARGEST)
        if not value:  # none of our values is empty
            return default
        if len(value) > LARGEST:
            raise Unreadable("it is too large")
        try:
            return Json().loads(value)
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"it is not JSON: {type(error).__name__}") from None


class SharedCache(RedisCache):
    """A cache in a Redis that may also be the broker, of which only our own keys are touched.

    Other clients may write to it: an unreadable value is deleted and counts as absent.
    """

    _has_warned = False

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        options = {
            "serializer": Json(),
            "socket_timeout": _TIMEOUT,
            "socket_connect_timeout": _TIMEOUT,
        }
        super().__init__(server, params | {"OPTIONS": options | params.get("OPTIONS", {})})
        self._class = _Bounded
        self._alone = LocMemCache("shared", params | {"OPTIONS": {"MAX_ENTRIES": _MOST_ALONE}})
        self._away_until = 0.0

    def add(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self._asked(super().add, self._alone.add, *args, **kwargs))

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        shared = partial(self._readable, super().get)
        return self._asked(shared, self._alone.get, key, default, version=version)

    def set(self, *args: Any, **kwargs: Any) -> None:
        self._asked(super().set, self._alone.set, *args, **kwargs)

    def touch(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self._asked(super().touch, self._alone.touch, *args, **kwargs))

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self._asked(super().delete, self._alone.delete, *args, **kwargs))

    def incr(self, key: Any, delta: int = 1, version: Any = None) -> int:
        shared = partial(self._readable, super().incr)
        return int(self._asked(shared, self._alone.incr, key, delta, version=version))

    def has_key(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self._asked(super().has_key, self._alone.has_key, *args, **kwargs))

    def clear(self) -> None:
        """Delete the keys of this cache. Django's would empty the database, including queues."""
        self._alone.clear()
        self._asked(self._clear, lambda: None)

    def _clear(self) -> None:
        client = self._cache.get_client(write=True)
        for key in client.scan_iter(match=f"{self.key_prefix}:*", count=1000):
            client.delete(key)

    def _readable(self, ask: Callable[..., Any], key: Any, *args: Any, version: Any) -> Any:
        """Return what `ask` returns. An unreadable value is deleted first, and counts as absent."""
        try:
            return ask(key, *args, version=version)
        except ResponseError as error:
            if not any(words in str(error) for words in _OF_ANOTHER_KIND):
                raise
            reason = str(error)
        except Unreadable as error:
            reason = str(error)
        if not self._has_warned:
            SharedCache._has_warned = True
            log.warning("unreadable cache value deleted", key=str(key), reason=reason)
        super().delete(key, version=version)
        return ask(key, *args, version=version)

    def _asked(
        self, shared: Callable[..., Any], alone: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        if time.monotonic() < self._away_until:
            return alone(*args, **kwargs)
        try:
            answer = shared(*args, **kwargs)
        except (RedisError, OSError) as error:
            if not self._away_until:
                log.warning(
                    "shared cache unavailable, processes count separately", reason=str(error)
                )
            self._away_until = time.monotonic() + _PAUSE
            return alone(*args, **kwargs)
        self._away_until = 0.0
        return answer


_FIND = "SELECT expires FROM cdc_cache WHERE cache_key = %s"
_KEEP = "UPDATE cdc_cache SET expires = %s WHERE cache_key = %s"


class TableCache(DatabaseCache):
    """A cache in the table `cdc_cache`.

    Django's DatabaseCache loses concurrent counts, extends their expiry at each count, and evicts
    live entries beyond 300, which would reset the throttle for a client that guesses many names.
    """

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        name = self.make_key(key, version)
        locking = " FOR UPDATE" if connection.features.has_select_for_update else ""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_FIND + locking, [name])
            found = cursor.fetchone()
            count = super().incr(key, delta, version)
            if found:
                cursor.execute(_KEEP, [*found, name])
        return count

    def _cull(self, db: str, cursor: Any, now: datetime, num: int) -> None:
        cutoff = connections[db].ops.adapt_datetimefield_value(now)
        cursor.execute("DELETE FROM cdc_cache WHERE expires < %s", [cutoff])
