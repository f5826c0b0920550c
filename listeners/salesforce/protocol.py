"""What a listener asks of a stream, whatever its transport."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


class EventStream(Protocol):
    """One subscription to one channel.

    One thread opens and polls; any thread may close, and say what was recorded. After an error,
    open again from the stored position unless ``is_open``.
    """

    @property
    def is_open(self) -> bool:
        """Subscribed, and the next poll goes on where the last one ended."""

    @property
    def has_news(self) -> bool:
        """The next poll returns at once, with what came earlier."""

    @property
    def subscribed_at(self) -> float | None:
        """When the last ``open`` succeeded, on the monotonic clock."""

    @property
    def has_replay(self) -> bool:
        """Whether the server has confirmed that it heeds positions."""

    @property
    def server_time(self) -> datetime | None:
        """Salesforce's clock at its last answer, to the second; None if it does not say."""

    @property
    def newest(self) -> str | None:
        """After a poll that brought nothing: the replay id until which there was nothing, where
        Salesforce says it."""

    @property
    def polled_bytes(self) -> int:
        """What the messages of the last poll had on the wire."""

    def open(self, replay: str) -> None:
        """Log in and subscribe from ``replay``: "-1", "-2", or a replay id of either transport.

        Raises any ``SalesforceError`` of a login or of the stream, ``ReplayLost`` for a position
        that is no longer valid or that is none here. May be called again after any failure,
        though not after ``close``.
        """

    def poll(self) -> list[Mapping[str, Any]]:
        """The next data messages, in the form that ``decode`` takes, or [] for a sign of life.

        Waits for them as long as Salesforce may be silent. A refused token is already invalidated
        when NEW_TOKEN is raised. Raises ``StreamClosed`` after ``close``.
        """

    def recorded(self, replay_id: str) -> None:
        """Everything up to this event is durable; any thread, never waits, never raises."""

    def forget(self) -> None:
        """The session cannot be gone on with: open again from the stored position."""

    def leave(self) -> None:
        """Receive nothing more. Polls give what came before, then raise StreamClosed; where
        Salesforce wants to know what of it was recorded, it is told until ``close``."""

    def close(self) -> None:
        """End the stream for good, from any thread; a poll that is waiting raises StreamClosed."""


@dataclass(frozen=True)
class StreamOptions:
    """Times are in seconds.

    connection_timeout    for each of connecting, handshake and subscription; over gRPC for each
                          call that has one answer, with connecting
    read_timeout          silence allowed past the time that the server may be silent: as long as
                          it holds a connect; over gRPC 270 s
    keep_alive_interval   silence after which it is checked that somebody is there
    session_timeout       time without an answer after which a session is not gone on with
    """

    api_version: str = "67.0"
    connection_timeout: float = 30.0
    read_timeout: float = 30.0
    keep_alive_interval: float = 120.0
    session_timeout: float = 900.0

    @property
    def longest_hold(self) -> float:
        """What a connect is asked to be held for at most, so that silence means something."""
        # Its answer comes before the silence is looked into.
        early = min(1.0, self.keep_alive_interval / 10)
        return min(self.keep_alive_interval - early, self.session_timeout / 2)
