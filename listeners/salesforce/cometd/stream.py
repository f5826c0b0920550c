"""An event stream of the Streaming API: sends the requests of a Bayeux session over HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import requests

from listeners.salesforce.cometd.inbox import Inbox
from listeners.salesforce.cometd.parse import bayeux_messages
from listeners.salesforce.cometd.peer_check import SilenceWatch
from listeners.salesforce.cometd.protocol import CONNECT, BayeuxSession, SessionState
from listeners.salesforce.cometd.transport import Line, Request
from listeners.salesforce.errors import (
    CometdRefused,
    LoginUnavailable,
    MalformedAnswer,
    Reaction,
    StreamClosed,
    TransportFailed,
)
from listeners.salesforce.http.request import Answer
from listeners.salesforce.protocol import StreamOptions
from listeners.salesforce.replay_ids import for_cometd
from listeners.salesforce.tokens.store import TokenStoreUnavailable
from listeners.salesforce.tokens.tokens import Token, Tokens


class CometdStream:
    """A subscription to a channel; see ``EventStream``.

    Each poll must start within 40 s after the last, or Salesforce drops the session. Polling a
    stream that is not open raises ``CometdRefused`` with REHANDSHAKE.
    """

    def __init__(
        self,
        tokens: Tokens,
        channel: str,
        options: StreamOptions | None = None,
        *,
        http: requests.Session | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``http`` is a template for proxies, TLS settings and headers; it sends no requests."""
        self._tokens = tokens
        self._channel = channel
        self._options = options or StreamOptions()
        self._line = Line(http, self._options.keep_alive_interval)
        self._path = f"/cometd/{self._options.api_version}"
        self._monotonic = monotonic
        self._closed = threading.Event()
        self._current: tuple[Token, BayeuxSession] | None = None
        self._inbox = Inbox(monotonic)
        self._subscribed_at: float | None = None
        self._watch = SilenceWatch(
            self._options.keep_alive_interval, self._is_somebody_there, self._line.cut
        )

    # Queries

    @property
    def is_open(self) -> bool:
        if self._current is None or self._closed.is_set():
            return False
        _, session = self._current
        return session.state is SessionState.SUBSCRIBED

    @property
    def has_news(self) -> bool:
        """Whether the last answer had messages or a refusal for the next poll."""
        return self._inbox.has_news

    @property
    def subscribed_at(self) -> float | None:
        return self._subscribed_at

    @property
    def has_replay(self) -> bool:
        """Whether the answer to the handshake confirmed the replay extension."""
        return self._current is not None and self._current[1].has_replay

    @property
    def last_answer_at(self) -> float | None:
        """When Salesforce last accepted a request, on the monotonic clock."""
        return self._inbox.last_answer_at

    @property
    def server_time(self) -> datetime | None:
        """Salesforce's time when it last accepted a request, to the second, if it sent it."""
        return self._inbox.server_time

    @property
    def newest(self) -> str | None:
        """Always None: an empty long poll contains no replay id."""
        return None

    @property
    def polled_bytes(self) -> int:
        return self._inbox.taken_bytes

    # Mutators

    def open(self, replay: str) -> None:
        """Log in, handshake, connect and subscribe from ``replay``: "-1", "-2" or a replay id.

        Invalidates and replaces a refused token once; if the new one is refused too, raises
        ``CometdRefused`` with BACK_OFF_LONG. Raises any ``SalesforceError`` of a login or of the
        stream, ``ReplayLost`` for a position that is no longer valid. May be called again after
        any failure, but not after ``close``.
        """
        if self._closed.is_set():
            raise StreamClosed
        replay = for_cometd(replay)
        first = self._tokens.get()
        if self._established(first, replay) is None:
            return
        self._tokens.invalidate(first)
        again = self._established(self._tokens.get(), replay)
        if again is not None:
            raise CometdRefused(
                again.error, again.failure_reason, Reaction.BACK_OFF_LONG, again.channel
            )

    def poll(self) -> list[Mapping[str, Any]]:
        """Send a long poll, and return its data messages; [] if there were none.

        Returns messages of an earlier answer immediately. A refusal in the same answer as messages
        is raised by the next poll. When NEW_TOKEN is raised, the refused token is already
        invalidated.
        """
        try:
            return self._inbox.take() or self._next_answer()
        except CometdRefused as refusal:
            if refusal.reaction is Reaction.NEW_TOKEN and self._current is not None:
                self._tokens.invalidate(self._current[0])
            raise

    def recorded(self, replay_id: str) -> None:
        """Do nothing: the Streaming API stores no position."""

    def forget(self) -> None:
        if self._current is not None:
            self._current[1].end()

    def leave(self) -> None:
        """Close the stream: no received messages are waiting, and there is nothing to commit."""
        self.close()

    def close(self) -> None:
        """End the stream, from any thread; a waiting poll raises StreamClosed.

        Tries for a few seconds to disconnect the session, and ignores network errors.
        """
        if self._closed.is_set():
            return
        self._closed.set()
        self._watch.end()
        self._line.interrupt()
        if self._current is not None:
            token, session = self._current
            self._line.hang_up(token, self._path, session.goodbye())

    # Inside

    def _established(self, token: Token, replay: str) -> CometdRefused | None:
        """Return the refusal if ``token`` was refused, None after success. Raises other errors."""
        try:
            self._establish(token, replay)
        except CometdRefused as refusal:
            if refusal.reaction is Reaction.NEW_TOKEN:
                return refusal
            raise
        return None

    def _establish(self, token: Token, replay: str) -> None:
        session = BayeuxSession(self._channel, replay, longest_hold=self._options.longest_hold)
        self._current = token, session
        self._line.forget_cookies()
        self._inbox.clear()
        steps: tuple[Callable[[], Request], ...] = (
            session.handshake,
            lambda: session.connect(self._monotonic()),
            session.subscribe,
        )
        for step in steps:
            self._converse(token, session, step())
            self._inbox.raise_refusal()
        self._subscribed_at = self._monotonic()

    def _next_answer(self) -> list[Mapping[str, Any]]:
        if self._closed.is_set():
            raise StreamClosed
        self._inbox.raise_refusal()
        if self._current is None or not self.is_open:
            raise CometdRefused("the session is lost", None, Reaction.REHANDSHAKE, CONNECT)
        _, session = self._current
        if self._closed.wait(session.connect_delay(self._monotonic())):
            raise StreamClosed
        self._refuse_idle(session)
        token = self._fresh(self._current)
        with self._watch.waiting():
            self._converse(token, session, session.connect(self._monotonic()))
        return self._inbox.messages()

    def _refuse_idle(self, session: BayeuxSession) -> None:
        idle = self._monotonic() - (self.last_answer_at or self._monotonic())
        if idle > self._options.session_timeout:
            session.end()
            error = f"no answer for {idle:.0f} s, more than session_timeout"
            raise CometdRefused(error, None, Reaction.REHANDSHAKE, CONNECT)

    def _fresh(self, current: tuple[Token, BayeuxSession]) -> Token:
        """Return the token for the next request, a renewed one if there is one.

        If no new token is available, continue with the old one: its assumed end may be too early,
        and Salesforce refuses it when it has expired. Ends the session if the org has moved to
        another instance.
        """
        token, session = current
        with suppress(LoginUnavailable, TokenStoreUnavailable):
            token = self._tokens.get()
        if token.instance_url != current[0].instance_url:
            session.end()
            raise CometdRefused("the org has moved", None, Reaction.REHANDSHAKE, CONNECT)
        self._current = token, session
        return token

    def _is_somebody_there(self) -> bool:
        if self._current is None:
            return True
        token, _ = self._current
        return self._line.is_answered(token.instance_url, self._options.connection_timeout)

    def _converse(self, token: Token, session: BayeuxSession, request: Request) -> None:
        """Send one request, and put the outcomes of its answer into the inbox."""
        answer = self._answer(token, session, request)
        try:
            messages = bayeux_messages(answer, str(request[0]["channel"]))
        except CometdRefused:
            session.end()
            raise
        except (TransportFailed, MalformedAnswer):
            session.answer_lost()
            raise
        self._inbox.put(session.receive(messages, self._monotonic()), answer)

    def _answer(self, token: Token, session: BayeuxSession, request: Request) -> Answer:
        if self._closed.is_set():
            raise StreamClosed
        timeout = (self._options.connection_timeout, self._read_timeout(session, request))
        answer = self._line.send(token, self._path, request, timeout)
        if isinstance(answer, Answer):
            return answer
        if self._closed.is_set():
            raise StreamClosed
        if answer.sent:
            session.answer_lost()
        raise answer.error(is_silence=self._watch.has_given_up)

    def _read_timeout(self, session: BayeuxSession, request: Request) -> float:
        """Return the seconds to wait for the answer."""
        if session.state is not SessionState.SUBSCRIBED:
            return self._options.connection_timeout
        held = session.hold if request[0]["channel"] == CONNECT else 0.0
        return min(self._options.read_timeout + held, self._options.session_timeout)
