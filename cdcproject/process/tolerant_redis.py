"""Kombu's Redis transport, made tolerant of malformed items in queues and channels.

Kombu decodes an item before a consumer sees it. With its own transport, an item that is not JSON or
not a message stops the worker; here the item is dropped and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty
from typing import Any

from kombu.transport import redis
from redis.exceptions import DataError, RedisError

from cdcproject.process.redis_transport import is_of_the_connection, report_dropped


class _Tolerant:
    """A mixin for channels."""

    def _brpop_read(self, **options: Any) -> Any:
        return self._tolerating(lambda: super(_Tolerant, self)._brpop_read(**options))  # type: ignore[misc]

    def _receive_one(self, client: Any) -> Any:
        return self._tolerating(lambda: super(_Tolerant, self)._receive_one(client))  # type: ignore[misc]

    def _tolerating(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (Empty, RedisError) as error:
            # DataError means that a part of the message is invalid, not that Redis failed.
            if not isinstance(error, DataError):
                raise
            found: Exception = error
        except Exception as error:
            if is_of_the_connection(error, redis.Transport.connection_errors):
                raise
            found = error
        report_dropped(f"it is not a message ({type(found).__name__})")
        raise Empty


class Channel(_Tolerant, redis.Channel):
    pass


class Transport(redis.Transport):
    Channel = Channel
