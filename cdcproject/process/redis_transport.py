"""Kombu's transport for Redis, which what somebody else wrote into a list or channel does not end.

Kombu reads an item before any consumer sees it. One that is no JSON, or no message, ends the worker
where its own transport is used; here the item is dropped and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import DataError, RedisError


class _Tolerant:
    """For a channel."""

    def _brpop_read(self, **options: Any) -> Any:
        return self._tolerating(lambda: super(_Tolerant, self)._brpop_read(**options))  # type: ignore[misc]

    def _receive_one(self, client: Any) -> Any:
        return self._tolerating(lambda: super(_Tolerant, self)._receive_one(client))  # type: ignore[misc]

    def _tolerating(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (Empty, RedisError) as error:
            # A part of a message that cannot be a value in Redis is no trouble with Redis.
            if not isinstance(error, DataError):
                raise
            _drop(error)
        except Exception as error:
            if is_of_the_connection(error, redis.Transport.connection_errors):
                raise
            _drop(error)
        raise Empty


def is_of_the_connection(error: Exception, connection_errors: tuple[type[Exception], ...]) -> bool:
    """Whether the broker is away. Kombu counts each KeyError among these errors, which a message
    without a part that it should have raises too."""
    return isinstance(error, connection_errors) and not isinstance(error, LookupError)


def _drop(error: Exception) -> None:
    _on_dropped(f"it is not a message ({type(error).__name__})")


def _ignore(reason: str) -> None:
    """Until `install` says who counts."""


_on_dropped: Callable[[str], None] = _ignore


class Channel(_Tolerant, redis.Channel):
    pass


class Transport(redis.Transport):
    Channel = Channel


class SentinelChannel(_Tolerant, redis.SentinelChannel):
    pass


class SentinelTransport(redis.SentinelTransport):
    Channel = SentinelChannel


def install(on_dropped: Callable[[str], None]) -> None:
    """For every connection of this process that is made from now on.

    `on_dropped` is called with the reason for which an item was dropped.
    """
    global _on_dropped  # noqa: PLW0603
    _on_dropped = on_dropped
    TRANSPORT_ALIASES.update(
        redis=f"{__name__}:Transport",
        rediss=f"{__name__}:Transport",
        sentinel=f"{__name__}:SentinelTransport",
    )
