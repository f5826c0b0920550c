"""An event stream of the Streaming API: sends the requests of a Bayeux session over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from listeners.salesforce.cometd.answers import CONNECT, bayeux_messages
from listeners.salesforce.cometd.peer_check import SilenceWatch
from listeners.salesforce.cometd.protocol import BayeuxSession, SessionState
from listeners.salesforce.cometd.transport import HttpTransport, Request
from listeners.salesforce.errors import (
    LoginUnavailable,
    Reaction,
    SalesforceError,
    StreamClosed,
    StreamRefused,
)
from listeners.salesforce.http.request import Answer
from listeners.salesforce.http.session import HttpConfig
from listeners.salesforce.protocol import EventStream, Messages, StreamOptions
from listeners.salesforce.replay_ids import for_cometd
from listeners.salesforce.tokens.store import TokenStoreUnavailable
from listeners.salesforce.tokens.tokens import Token, Tokens


class CometdStream(EventStream):
    """A subscription over the Streaming API.

    Each poll must start within 40 s after the last, or Salesforce drops the session. Polling a
    stream that is not open raises ``StreamRefused`` with REHANDSHAKE. An empty long poll contains
    no replay id, so ``newest`` is always None.
    """

    def __init__(
        self,
        tokens: Tokens,
        channel: str,
        options: StreamOptions | None = None,
        *,
        http_config: HttpConfig | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(tokens, channel, options, monotonic)
        self._http = HttpTransport(http_config or HttpConfig(), self._options.keep_alive_interval)
        self._path = f"/cometd/{self._options.api_version}"
        self._current: tuple[Token, BayeuxSession] | None = None
        self._messages: list[Mapping[str, Any]] = []  # received, but not polled yet
        self._failure: SalesforceError | None = None  # raised after the messages are polled
        self._unpolled_bytes = 0
        #: When Salesforce last accepted a request, on the monotonic clock and on its own.
        self.last_answer_at: float | None = None
        self._server_time: datetime | None = None
        self._watch = SilenceWatch(
            self._options.keep_alive_interval, self._is_peer_answering, self._http.cut
        )

    @property
    def is_open(self) -> bool:
        if self._current is None or self._closed.is_set():
            return False
        return self._current[1].state is SessionState.SUBSCRIBED

    @property
    def has_result_ready(self) -> bool:
        return bool(self._messages) or self._failure is not None

    @property
    def server_time(self) -> datetime | None:
        return self._server_time

    def poll(self) -> Messages:
        """Send a long poll, unless messages or a failure of an earlier answer are left."""
        try:
            if not self._messages:
                self._unpolled_bytes = 0
                self._long_poll()
        except StreamRefused as refusal:
            if refusal.reaction is Reaction.NEW_TOKEN and self._current is not None:
                self._tokens.invalidate(self._current[0])
            raise
        polled, self._messages = self._messages, []
        self.polled_bytes, self._unpolled_bytes = self._unpolled_bytes, 0
        return polled

    def recorded(self, replay_id: str) -> None:
        """Do nothing: the Streaming API stores no position."""

    def forget(self) -> None:
        if self._current is not None:
            self._current[1].end()

    def close(self) -> None:
        """End the stream. Tries for a few seconds to disconnect, and ignores network errors."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._watch.end()
        self._http.interrupt()
        if self._current is not None:
            token, session = self._current
            self._http.hang_up(token, self._path, session.goodbye())

    # Inside

    def _subscribe(self, token: Token, replay: str) -> None:
        session = BayeuxSession(
            self._channel, for_cometd(replay), longest_hold=self._options.longest_hold
        )
        self._current = token, session
        self._http.forget_cookies()
        self._messages, self._failure, self._unpolled_bytes = [], None, 0
        steps: tuple[Callable[[], Request], ...] = (
            session.handshake,
            lambda: session.connect(self._monotonic()),
            session.subscribe,
        )
        for step in steps:
            self._exchange(token, session, step())
            self._raise_failure()
        self.has_replay = session.has_replay

    def _raise_failure(self) -> None:
        """Raise the failure once, if there is one."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _long_poll(self) -> None:
        if self._closed.is_set():
            raise StreamClosed
        self._raise_failure()
        if self._current is None or not self.is_open:
            raise StreamRefused(CONNECT, "the session is lost", Reaction.REHANDSHAKE)
        _, session = self._current
        if self._closed.wait(session.connect_delay(self._monotonic())):
            raise StreamClosed
        self._refuse_idle(session)
        token = self._fresh(self._current)
        request = session.connect(self._monotonic())
        with self._watch.waiting():
            answer = self._send(token, session, request)
        self.admit(len(answer.body))
        self._keep_answer(session, request, answer)
        if not self._messages:
            self._raise_failure()

    def _refuse_idle(self, session: BayeuxSession) -> None:
        idle = self._monotonic() - (self.last_answer_at or self._monotonic())
        if idle > self._options.session_timeout:
            session.end()
            error = f"no answer for {idle:.0f} s, more than session_timeout"
            raise StreamRefused(CONNECT, error, Reaction.REHANDSHAKE)

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
            raise StreamRefused(CONNECT, "the org has moved", Reaction.REHANDSHAKE)
        self._current = token, session
        return token

    def _is_peer_answering(self) -> bool:
        if self._current is None:
            return True
        token, _ = self._current
        return self._http.is_answered(token.instance_url, self._options.connection_timeout)

    def _exchange(self, token: Token, session: BayeuxSession, request: Request) -> None:
        """Send one request, and keep the messages and the failure of its answer."""
        self._keep_answer(session, request, self._send(token, session, request))

    def _keep_answer(self, session: BayeuxSession, request: Request, answer: Answer) -> None:
        try:
            messages = bayeux_messages(answer, str(request[0]["channel"]))
        except SalesforceError:
            session.end()
            raise
        reply = session.receive(messages, self._monotonic(), answer.text)
        self._messages.extend(reply.messages)
        self._unpolled_bytes += len(answer.body)
        self._failure = self._failure or reply.failure
        if reply.is_accepted:
            self.last_answer_at = self._monotonic()
            self._server_time = answer.date()

    def _send(self, token: Token, session: BayeuxSession, request: Request) -> Answer:
        if self._closed.is_set():
            raise StreamClosed
        timeout = (self._options.connection_timeout, self._read_timeout(session, request))
        answer = self._http.send(token, self._path, request, timeout)
        if isinstance(answer, Answer):
            return answer
        if self._closed.is_set():
            raise StreamClosed
        if answer.was_sent:
            session.end()
        answer.is_silence = answer.is_silence or self._watch.has_given_up
        raise answer

    def _read_timeout(self, session: BayeuxSession, request: Request) -> float:
        """Return the seconds to wait for the answer."""
        if session.state is not SessionState.SUBSCRIBED:
            return self._options.connection_timeout
        held = session.hold if request[0]["channel"] == CONNECT else 0.0
        return min(self._options.read_timeout + held, self._options.session_timeout)
