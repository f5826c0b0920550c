"""What all web processes count together: requests of a user, and logins that failed.

In Redis where there is one. While that is away each process counts for itself: who is let in must
not depend on it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from django.db import connection, connections, transaction
from redis.exceptions import RedisError, ResponseError

log = structlog.get_logger(__name__)

#: Seconds for each word of Redis, and until one that is away is asked again.
_TIMEOUT, _PAUSE = 0.5, 10.0
#: Counts that a process keeps by itself; Django's 300 could be pushed out by 300 wrong names.
_MOST_ALONE = 20_000
#: Bytes of a value; a count has a few, and the channels of a large org some hundred thousand.
LARGEST = 2_000_000
#: What Redis says of a value that is of another kind, in words alone.
_OF_ANOTHER_KIND = ("WRONGTYPE", "not an integer", "would overflow")


class Json:
    """In place of Django's pickles, which are code: who can write to the broker must not have it
    run by the web server. A whole number stands as it is, for Redis to count."""

    def dumps(self, value: Any) -> int | bytes:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return value if is_number else json.dumps(value).encode()

    def loads(self, stored: bytes | str) -> Any:
        return json.loads(stored)


class Unreadable(Exception):
    """The cache holds a value that is not ours. It is deleted, and counts as absent."""


class _Bounded(RedisCacheClient):
    """Reads no value that is larger than one of ours can be."""

    def get(self, key: Any, default: Any) -> Any:
        value = self.get_client(key).getrange(key, 0, LARGEST)
        if not value:  # an absent one is empty, and none of ours is
            return default
        if len(value) > LARGEST:
            raise Unreadable("it is too large")
        try:
            return Json().loads(value)
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"it is not JSON: {type(error).__name__}") from None


class SharedCache(RedisCache):
    """The broker's database may be the same: nothing but what is here is ever touched. Others may
    write to it: a value that is not readable is deleted, and taken as absent."""

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
        def shared(key: Any, default: Any, version: Any) -> Any:
            return self._readable(super(SharedCache, self).get, key, default, version=version)

        return self._asked(shared, self._alone.get, key, default, version)

    def set(self, *args: Any, **kwargs: Any) -> None:
        self._asked(super().set, self._alone.set, *args, **kwargs)

    def touch(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self._asked(super().touch, self._alone.touch, *args, **kwargs))

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self._asked(super().delete, self._alone.delete, *args, **kwargs))

    def incr(self, key: Any, delta: int = 1, version: Any = None) -> int:
        def shared(key: Any, delta: int, version: Any) -> int:
            return int(self._readable(super(SharedCache, self).incr, key, delta, version=version))

        return int(self._asked(shared, self._alone.incr, key, delta, version))

    def has_key(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self._asked(super().has_key, self._alone.has_key, *args, **kwargs))

    def clear(self) -> None:
        """What this cache holds. Django's own would empty the whole database, queues and all."""
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
            log.warning("a value in the cache was not readable", key=str(key), reason=reason)
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
                log.warning("counts are not shared between processes", reason=str(error))
            self._away_until = time.monotonic() + _PAUSE
            return alone(*args, **kwargs)
        self._away_until = 0.0
        return answer


_FIND = "SELECT expires FROM cdc_cache WHERE cache_key = %s"
_KEEP = "UPDATE cdc_cache SET expires = %s WHERE cache_key = %s"


class TableCache(DatabaseCache):
    """In the table `cdc_cache`. Django's own loses counts of two at once, gives what is counted
    another end each time, and from 300 entries on drops some that have not ended: whoever fails
    under enough names would begin anew."""

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
        ended = connections[db].ops.adapt_datetimefield_value(now)
        cursor.execute("DELETE FROM cdc_cache WHERE expires < %s", [ended])
