"""Have Kombu use our Redis transport, which is imported with the first connection to a broker: many
processes need none."""

from __future__ import annotations

from collections.abc import Callable

from kombu.transport import TRANSPORT_ALIASES

_MODULE = "cdcproject.process.tolerant_redis"


def _ignore(reason: str) -> None:
    """Ignore dropped items until `install` is called."""


_on_dropped: Callable[[str], None] = _ignore


def is_of_the_connection(error: Exception, connection_errors: tuple[type[Exception], ...]) -> bool:
    """Return whether the broker is unavailable.

    Kombu's list has KeyError, which also a message with a missing part raises.
    """
    return isinstance(error, connection_errors) and not isinstance(error, LookupError)


def install(on_dropped: Callable[[str], None]) -> None:
    """Use the transport for all connections that this process opens from now on.

    `on_dropped` is called with the reason when an item is dropped.
    """
    global _on_dropped  # noqa: PLW0603
    _on_dropped = on_dropped
    TRANSPORT_ALIASES.update(redis=f"{_MODULE}:Transport", rediss=f"{_MODULE}:Transport")


def report_dropped(reason: str) -> None:
    _on_dropped(reason)
