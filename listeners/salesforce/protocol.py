"""The interface of event streams, and what both transports share."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from listeners.salesforce.errors import Reaction, StreamClosed, StreamRefused
from listeners.salesforce.tokens.tokens import Token, Tokens

Messages = list[Mapping[str, Any]]


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


class EventStream(ABC):
    """A subscription to a channel.

    One thread calls ``open`` and ``poll``; any thread may call ``close`` and ``recorded``. After an
    error, reopen from the stored position unless ``is_open``.
    """

    #: When the last ``open`` succeeded, on the monotonic clock; None before.
    subscribed_at: float | None = None
    #: Whether the server has confirmed that it supports replay.
    has_replay = False
    #: After an empty poll: the replay id up to which there are no events, if Salesforce sends it.
    newest: str | None = None
    #: The size of the last poll's messages on the wire, in bytes.
    polled_bytes = 0

    def __init__(
        self,
        tokens: Tokens,
        channel: str,
        options: StreamOptions | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._channel = channel
        self._options = options or StreamOptions()
        self._monotonic = monotonic
        self._closed = threading.Event()
        #: Called by ``poll`` with the size in bytes of what arrived, before it is parsed: then it
        #: takes several times as much memory. May wait until there is room.
        self.admit: Callable[[int], None] = lambda size: None

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether the stream is subscribed, and the next poll continues after the last one."""

    @property
    @abstractmethod
    def has_result_ready(self) -> bool:
        """Whether the next poll returns or raises immediately, because of what already arrived."""

    @property
    def has_committed(self) -> bool:
        """Whether Salesforce has accepted a commit of the current or last session, and still keeps
        the position: only with a managed subscription."""
        return False

    @property
    @abstractmethod
    def server_time(self) -> datetime | None:
        """Salesforce's time at its last answer, to the second; None if it does not send it."""

    def open(self, replay: str) -> None:
        """Log in and subscribe from ``replay``: "-1", "-2", or a replay id of either transport.

        Invalidates and replaces a refused token once; if the new one is refused too, raises
        ``StreamRefused`` with BACK_OFF_LONG. Raises any ``SalesforceError`` of a login or of the
        stream, ``ReplayLost`` for a position that is no longer valid or has no form in this
        transport. May be called again after any failure, but not after ``close``.
        """
        if self._closed.is_set():
            raise StreamClosed
        token = self._tokens.get()
        if self._token_refusal(token, replay) is not None:
            self._tokens.invalidate(token)
            if again := self._token_refusal(self._tokens.get(), replay):
                raise again.of_new_token()
        self.subscribed_at = self._monotonic()

    def _token_refusal(self, token: Token, replay: str) -> StreamRefused | None:
        """Subscribe, and return the refusal if the token was refused. Raises other errors."""
        try:
            self._subscribe(token, replay)
        except StreamRefused as refusal:
            if refusal.reaction is Reaction.NEW_TOKEN:
                return refusal
            raise
        return None

    @abstractmethod
    def _subscribe(self, token: Token, replay: str) -> None:
        """End the last subscription, and start a new one with this token."""

    @abstractmethod
    def poll(self) -> Messages:
        """Return the next data messages, in the form that ``decode`` takes; [] for a keep-alive.

        Waits as long as Salesforce may be silent. A failure is raised after the messages that
        arrived before it. When NEW_TOKEN is raised, the refused token is already invalidated.
        Raises ``StreamClosed`` after ``close``.
        """

    @abstractmethod
    def recorded(self, replay_id: str) -> None:
        """Note that all events up to this one are durable. Any thread; never waits or raises."""

    @abstractmethod
    def forget(self) -> None:
        """Give up the session: the stream must be reopened from the stored position."""

    def leave(self) -> None:
        """Stop receiving. Polls return messages that already arrived, then raise StreamClosed.

        A managed subscription can still commit recorded positions until ``close``.
        """
        self.close()

    @abstractmethod
    def close(self) -> None:
        """End the stream, from any thread; a waiting poll raises StreamClosed."""
