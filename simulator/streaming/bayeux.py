"""The server side of Bayeux in the Streaming API: messages in, messages out, no sockets.

`handle` returns either the responses to a message or a `Hold`: a connect request to hold open until
the session has messages, and then to answer with `finish`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.auth.oauth import TokenService
from simulator.faults import META, Faults
from simulator.options import Options
from simulator.org.channels import SubscriptionRefusedError
from simulator.org.events import StoredEvent
from simulator.org.org import Org
from simulator.org.records import JsonObject
from simulator.streaming import replies
from simulator.streaming.sessions import Session, SessionTable, backlog

OLDEST_VERSION = 37.0


@dataclass(frozen=True, slots=True)
class Caller:
    """The HTTP request around the messages."""

    token: str
    version: float | None
    cookies: Mapping[str, str]
    alone: bool = True


@dataclass(frozen=True, slots=True)
class Hold:
    """A connect request to be held open."""

    session: Session
    message: JsonObject
    caller: Caller
    number: int


class Bayeux:
    """The protocol."""

    def __init__(self, org: Org, tokens: TokenService, faults: Faults, options: Options) -> None:
        self._org = org
        self._tokens = tokens
        self._faults = faults
        self._options = options
        self.sessions = SessionTable(org.opaque)
        self.unknown_client_error = replies.UNKNOWN_CLIENT
        self.delivered = 0
        org.observe(self.publish)

    def publish(self, event: StoredEvent) -> None:
        """Queue an event for every session whose channels carry it."""
        self.sessions.sweep(event.at)
        for session in self.sessions.by_client.values():
            for channel in sorted(session.subscriptions):
                for part in self._org.delivered(channel, event):
                    session.put({"data": part.data(session.api_version), "channel": channel})

    def inject(self, channel: str, message: JsonObject) -> int:
        """Queue any message for the subscribers of a channel, and return how many there are."""
        reached = [
            session
            for session in self.sessions.by_client.values()
            if channel in session.subscriptions
        ]
        for session in reached:
            session.put(message)
        return len(reached)

    def handle(self, message: JsonObject, caller: Caller, now: int) -> JsonObject | Hold:
        """Return the responses to a message of a client, or a Hold."""
        channel = message.get("channel")
        if caller.version is None or caller.version < OLDEST_VERSION:
            return replies.refusal(message, replies.VERSION_MANDATORY)
        if fault := self._faults.take(
            META,
            target="cometd",
            channel=str(channel),
            subscription=str(message.get("subscription")),
        ):
            return replies.faulty(message, fault.kind, fault.options)
        if channel == "/meta/handshake":
            return self._handshake(message, caller, now)
        return self._in_session(message, caller, now)

    def _handshake(self, message: JsonObject, caller: Caller, now: int) -> JsonObject:
        if not caller.token:
            return replies.handshake_denied(message, replies.AUTHENTICATION_REQUIRED)
        if not self._tokens.is_valid(caller.token, now):
            return replies.handshake_denied(message, replies.AUTHENTICATION_INVALID)
        offered = message.get("supportedConnectionTypes")
        if not isinstance(offered, list) or "long-polling" not in offered:
            return replies.refusal(message, f"400::Invalid connection type {{{offered}}}")
        session = self.sessions.open(
            browser=caller.cookies.get("BAYEUX_BROWSER", ""),
            api_version=caller.version or OLDEST_VERSION,
            now=now,
        )
        return replies.answer(
            message,
            ext=replies.EXTENSIONS,
            minimumVersion="1.0",
            version="1.0",
            clientId=session.client_id,
            supportedConnectionTypes=["long-polling"],
        )

    def _in_session(self, message: JsonObject, caller: Caller, now: int) -> JsonObject | Hold:
        session = self._admit(message, caller, now)
        if not isinstance(session, Session):
            return session
        match message.get("channel"):
            case "/meta/connect":
                return self._connect(session, message, caller, now)
            case "/meta/subscribe":
                return self._subscribe(session, message, now)
            case "/meta/unsubscribe":
                session.subscriptions.discard(str(message.get("subscription")))
            case "/meta/disconnect":
                session.left = True
                self.sessions.drop(session)
            case _:
                return replies.refusal(message, "404::Unknown channel")
        return replies.answer(message)

    def _admit(self, message: JsonObject, caller: Caller, now: int) -> Session | JsonObject:
        """Return the session of the message, or the response to a message without a session."""
        client_id = message.get("clientId")
        if not client_id:
            return replies.refusal(message, "403::Client has not completed handshake")
        if not self._tokens.is_valid(caller.token, now):
            return replies.unauthenticated(message)
        session = self.sessions.find(str(client_id), now)
        if session is None or caller.cookies.get("sfdc-stream") != session.affinity:
            return replies.unknown_client(message, self.unknown_client_error)
        if caller.cookies.get("BAYEUX_BROWSER") != session.browser:
            return replies.refusal(message, replies.NO_COOKIE.format(client_id))
        return session

    def _connect(
        self, session: Session, message: JsonObject, caller: Caller, now: int
    ) -> JsonObject | Hold:
        kind = message.get("connectionType")
        if kind != "long-polling":
            return replies.refusal(message, f"400::Invalid connection type {{{kind}}}")
        first, session.connected = not session.connected, True
        session.answered_at = now
        session.hold += 1
        session.awake.set()
        if first:
            timeout = int(self._options.connect_timeout * 1000)
            advice = {"interval": 0, "timeout": timeout, "reconnect": "retry"}
            return replies.answer(message, advice=advice)
        session.held = True
        return Hold(session, message, caller, session.hold)

    def _subscribe(self, session: Session, message: JsonObject, now: int) -> JsonObject:
        self._org.log.expire(now)
        try:
            events = backlog(self._org, message)
        except SubscriptionRefusedError as error:
            return replies.refusal(message, str(error))
        channel = message["subscription"]
        session.subscriptions.add(channel)
        for event in events:
            session.put({"data": event.data(session.api_version), "channel": channel})
        return replies.answer(message)

    def is_ready(self, hold: Hold, now: int) -> bool:
        """Return whether a held connect can be answered before its time is up."""
        return bool(
            not hold.caller.alone
            or hold.session.queue
            or hold.number != hold.session.hold
            or not self.sessions.is_live(hold.session)
            or not self._tokens.is_valid(hold.caller.token, now)
        )

    def finish(self, hold: Hold, now: int) -> list[JsonObject]:
        """Return the response to a held connect: events, and the acknowledgement."""
        session = hold.session
        if hold.number != session.hold:
            return [replies.answer(hold.message)]
        session.held = False
        session.answered_at = now
        if session.left:
            return [replies.answer(hold.message, advice=replies.NO_RECONNECT)]
        if not self.sessions.is_live(session):
            return [replies.unknown_client(hold.message, self.unknown_client_error)]
        if not self._tokens.is_valid(hold.caller.token, now):
            return [replies.unauthenticated(hold.message)]
        events = session.take(self._options.max_events_per_answer)
        self.delivered += len(events)
        return [*events, replies.answer(hold.message)]

    def abandon(self, hold: Hold, now: int) -> None:
        """Release a held connect whose client disconnected before the response."""
        if hold.number == hold.session.hold:
            hold.session.held = False
            hold.session.answered_at = now
