"""The Streaming API over HTTP: a thin driver around ``bayeux``, one long poll at a time."""

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
    """One subscription to one channel.

    One thread opens and polls; any thread may close. The next poll must follow within 40 s of
    the last, or Salesforce forgets the session. After an error, open again from the stored
    position unless ``is_open``; polling a stream that is not open raises ``CometdRefused`` with
    REHANDSHAKE.
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
        """``http`` lends its proxies, TLS settings and headers; it is neither used nor closed."""
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
        """The next poll returns messages, or raises a refusal, that came with the last answer."""
        return self._inbox.has_news

    @property
    def subscribed_at(self) -> float | None:
        return self._subscribed_at

    @property
    def has_replay(self) -> bool:
        """Whether the session's handshake was answered as one that heeds positions."""
        return self._current is not None and self._current[1].has_replay

    @property
    def last_answer_at(self) -> float | None:
        """When Salesforce last accepted a request, on the monotonic clock."""
        return self._inbox.last_answer_at

    @property
    def server_time(self) -> datetime | None:
        """Salesforce's clock at its last accepted answer, to the second; None if it did not say."""
        return self._inbox.server_time

    @property
    def newest(self) -> str | None:
        """A long poll that brings nothing names no replay id."""
        return None

    @property
    def polled_bytes(self) -> int:
        return self._inbox.taken_bytes

    # Mutators

    def open(self, replay: str) -> None:
        """Log in, handshake, connect and subscribe from ``replay``: "-1", "-2" or a replay id.

        A refused token is invalidated and replaced once; refused again it raises
        ``CometdRefused`` with BACK_OFF_LONG. Raises any ``SalesforceError`` of a login or of the
        stream, ``ReplayLost`` for a position that is no longer valid. May be called again after
        any failure, though not after ``close``.
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
        """One long poll: the data messages it brought, or [] for a mere sign of life.

        Messages that came with an earlier answer are returned at once. A refusal that came
        together with messages is raised by the next poll. A refused token is already
        invalidated when NEW_TOKEN is raised.
        """
        try:
            return self._inbox.take() or self._next_answer()
        except CometdRefused as refusal:
            if refusal.reaction is Reaction.NEW_TOKEN and self._current is not None:
                self._tokens.invalidate(self._current[0])
            raise

    def recorded(self, replay_id: str) -> None:
        """Salesforce keeps no position here."""

    def forget(self) -> None:
        if self._current is not None:
            self._current[1].end()

    def leave(self) -> None:
        """What came was polled already, and nothing more is to be said."""
        self.close()

    def close(self) -> None:
        """End the stream for good, from any thread; a poll that is waiting raises StreamClosed.

        Tells Salesforce so if it answers within a few seconds; never raises for the network.
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
        """The refusal of ``token`` itself, or None after success. Raises any other failure."""
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
        """The token to go on with: a renewed one of the same user takes the old one's place.

        When its end was only assumed, and none can be had now, the session goes on with the old
        one: Salesforce says when it really has ended. An org that has moved is opened anew.
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
        """Send one request; what its answer brings is in the inbox."""
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
        """Seconds to wait for the answer."""
        if session.state is not SessionState.SUBSCRIBED:
            return self._options.connection_timeout
        held = session.hold if request[0]["channel"] == CONNECT else 0.0
        return min(self._options.read_timeout + held, self._options.session_timeout)
