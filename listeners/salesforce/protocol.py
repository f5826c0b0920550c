"""The interface of event streams, which both transports implement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


class EventStream(Protocol):
    """A subscription to a channel.

    One thread calls ``open`` and ``poll``; any thread may call ``close`` and ``recorded``. After an
    error, reopen from the stored position unless ``is_open``.
    """

    @property
    def is_open(self) -> bool:
        """Whether the stream is subscribed, and the next poll continues after the last one."""

    @property
    def has_news(self) -> bool:
        """Whether the next poll returns immediately, with messages that already arrived."""

    @property
    def subscribed_at(self) -> float | None:
        """When the last ``open`` succeeded, on the monotonic clock; None before."""

    @property
    def has_replay(self) -> bool:
        """Whether the server has confirmed that it supports replay."""

    @property
    def server_time(self) -> datetime | None:
        """Salesforce's time at its last answer, to the second; None if it does not send it."""

    @property
    def newest(self) -> str | None:
        """After an empty poll: the replay id up to which there are no events, if Salesforce sends
        it."""

    @property
    def polled_bytes(self) -> int:
        """The size of the last poll's messages on the wire, in bytes."""

    def open(self, replay: str) -> None:
        """Log in and subscribe from ``replay``: "-1", "-2", or a replay id of either transport.

        Raises any ``SalesforceError`` of a login or of the stream, ``ReplayLost`` for a position
        that is no longer valid or has no form in this transport. May be called again after any
        failure, but not after ``close``.
        """

    def poll(self) -> list[Mapping[str, Any]]:
        """Return the next data messages, in the form that ``decode`` takes; [] for a keep-alive.

        Waits as long as Salesforce may be silent. When NEW_TOKEN is raised, the refused token is
        already invalidated. Raises ``StreamClosed`` after ``close``.
        """

    def recorded(self, replay_id: str) -> None:
        """Note that all events up to this one are durable. Any thread; never waits or raises."""

    def forget(self) -> None:
        """Give up the session: the stream must be reopened from the stored position."""

    def leave(self) -> None:
        """Stop receiving. Polls return messages that already arrived, then raise StreamClosed.

        A managed subscription can still commit recorded positions until ``close``.
        """

    def close(self) -> None:
        """End the stream, from any thread; a waiting poll raises StreamClosed."""


@dataclass(frozen=True)
class StreamOptions:
    """Options of a stream; times are in seconds.

    connection_timeout    for each of connecting, handshake and subscription; over gRPC for each
                          unary call, including connecting
    read_timeout          silence allowed beyond the time that the server may be silent: as long as
                          it holds a connect; over gRPC 270 s
    keep_alive_interval   silence after which the stream checks that the server still answers
    session_timeout       time without an answer after which a session is not continued
    """

    api_version: str = "67.0"
    connection_timeout: float = 30.0
    read_timeout: float = 30.0
    keep_alive_interval: float = 120.0
    session_timeout: float = 900.0

    @property
    def longest_hold(self) -> float:
        """The longest time to hold a connect that the server is asked for."""
        # The answer must come before keep_alive_interval, so that silence means a lost connection.
        early = min(1.0, self.keep_alive_interval / 10)
        return min(self.keep_alive_interval - early, self.session_timeout / 2)
