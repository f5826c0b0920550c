"""The Bayeux protocol without I/O: builds requests and interprets answers.

    NEW ── handshake() ──▶ HANDSHAKEN ── subscribe() ──▶ SUBSCRIBED ── connect() … ──▶
                any refusal that ends the session, or a lost answer ──▶ LOST

A driver takes a request, sends it as one JSON array, and passes the whole answer to
``receive``. Times are seconds of any monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any

from listeners.backoff import Backoff
from listeners.salesforce.cometd.answers import CONNECT, classify
from listeners.salesforce.errors import (
    MalformedAnswer,
    Reaction,
    ReplayLost,
    SalesforceError,
    StreamRefused,
)

HANDSHAKE = "/meta/handshake"
SUBSCRIBE = "/meta/subscribe"
UNSUBSCRIBE = "/meta/unsubscribe"
DISCONNECT = "/meta/disconnect"

DEFAULT_HOLD = 110.0  # seconds Salesforce holds a connect, unless it advises otherwise
_LONGEST_HOLD = 600.0
_LONGEST_INTERVAL = 30.0  # seconds: a longer pause would end the session
_ENDINGS = ("handshake", "none")  # a tuple, because the advice may contain unhashable values
_HASTY = 1.0  # seconds: an empty answer that comes sooner was not held by the server
_HASTY_BACKOFF = Backoff(1 / 16, 1.0, jitter=0.0)


Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """The data messages of an answer, its first failure, and whether a request was accepted."""

    messages: tuple[Message, ...]
    failure: SalesforceError | None
    is_accepted: bool


class SessionState(StrEnum):
    NEW = auto()
    HANDSHAKEN = auto()
    SUBSCRIBED = auto()
    LOST = auto()


class BayeuxSession:
    """A client session: handshake, first connect, subscribe, then repeated connects."""

    def __init__(self, channel: str, replay: str, *, longest_hold: float | None = None) -> None:
        """``longest_hold``: the seconds after which the server is asked to answer a connect; None
        to let the server decide."""
        self.channel = channel
        self._longest_hold = longest_hold
        self.state = SessionState.NEW
        self.hold = DEFAULT_HOLD  # seconds the server may hold a connect
        self._replay = replay
        self._client_id: str | None = None
        self.has_replay = False  # whether the handshake confirmed the replay extension
        self._last_id = 0
        self._expected = ""
        self._interval = 0.0
        self._connects = 0
        self._sent_at = 0.0
        self._not_before = 0.0
        self._hasty_answers = 0

    # Requests

    def handshake(self) -> list[dict[str, Any]]:
        self._expected = HANDSHAKE
        request = self._request(HANDSHAKE) | {
            "version": "1.0",
            "minimumVersion": "1.0",
            "supportedConnectionTypes": ["long-polling"],
            "ext": {"replay": True},
        }
        return [request]

    def connect(self, now: float) -> list[dict[str, Any]]:
        self._expected = CONNECT
        request = self._request(CONNECT) | {"connectionType": "long-polling"}
        if self._connects == 0:
            request["advice"] = {"timeout": 0}  # like CometD's clients: answer immediately
        elif self._longest_hold is not None and self._longest_hold < self.hold:
            request["advice"] = {"timeout": round(self._longest_hold * 1000)}
        self._connects += 1
        self._sent_at = now
        return [request]

    def subscribe(self) -> list[dict[str, Any]]:
        self._expected = SUBSCRIBE
        replay = {self.channel: _as_number(self._replay)}
        return [
            self._request(SUBSCRIBE) | {"subscription": self.channel, "ext": {"replay": replay}}
        ]

    def goodbye(self) -> list[dict[str, Any]]:
        """Return the requests to unsubscribe and disconnect; none without a session."""
        match self.state:
            case SessionState.SUBSCRIBED:
                unsubscribe = self._request(UNSUBSCRIBE) | {"subscription": self.channel}
                return [unsubscribe, self._request(DISCONNECT)]
            case SessionState.HANDSHAKEN:
                return [self._request(DISCONNECT)]
            case SessionState.NEW | SessionState.LOST:
                return []

    def _request(self, channel: str) -> dict[str, Any]:
        self._last_id += 1
        request: dict[str, Any] = {"channel": channel, "id": str(self._last_id)}
        return request if self._client_id is None else {**request, "clientId": self._client_id}

    # Answers

    def receive(
        self, messages: Sequence[Message], now: float, text: Callable[[], str] = str
    ) -> Reply:
        """Interpret the answer to the last request; ``text`` returns the text of the answer."""
        data = tuple(message for message in messages if not _is_meta(message))
        meta = [message for message in messages if _is_meta(message)]
        flaws = [flaw for message in meta if (flaw := self._failure(message, text))]
        # Some servers send an empty array as a keep-alive, without acknowledging the connect.
        is_keep_alive = self._expected == CONNECT and not messages
        is_accepted = is_keep_alive or len(flaws) < len(meta)
        is_answered = any(message["channel"] == self._expected for message in meta)
        if not (is_answered or is_keep_alive or (data and self._expected == CONNECT)):
            flaws.append(MalformedAnswer(f"the answer has no {self._expected} message", text()))
        if self._expected == CONNECT:
            self._pace(now, empty=not data)
        if any(flaw.reaction is not Reaction.RETRY for flaw in flaws):
            self.end()
        return Reply(data, flaws[0] if flaws else None, is_accepted)

    def end(self) -> None:
        """Mark the session as lost: the server will not continue it, or an answer was lost.

        A lost answer may have contained events, and Bayeux does not acknowledge them: reopening
        from the stored position delivers them again.
        """
        self.state = SessionState.LOST

    def connect_delay(self, now: float) -> float:
        """Return the seconds to wait before the next connect, as the server advised."""
        return max(0.0, self._not_before - now)

    def _heed(self, advice: Message) -> None:
        self._interval = _seconds(advice.get("interval"), self._interval, _LONGEST_INTERVAL)
        self.hold = _seconds(advice.get("timeout"), 0.0, _LONGEST_HOLD) or self.hold

    def _failure(self, message: Message, text: Callable[[], str]) -> SalesforceError | None:
        """Update the session from a meta message, and return the failure that it reports."""
        channel: str = message["channel"]
        sent = message.get("advice")
        advice: Message = sent if isinstance(sent, Mapping) else {}
        self._heed(advice)
        is_ending = advice.get("reconnect") in _ENDINGS
        if message.get("successful") is not True:
            if is_ending:
                self.end()
            return _refusal(message, channel, advice)
        if is_ending and channel == CONNECT:
            error = f"the answer advises reconnect {advice['reconnect']}"
            return StreamRefused(channel, error, classify(None, None, advice))
        if channel == DISCONNECT:
            return StreamRefused(channel, "the server closed the session", Reaction.REHANDSHAKE)
        if channel == HANDSHAKE:
            client_id = message.get("clientId")
            if not isinstance(client_id, str) or not client_id:
                return MalformedAnswer("the handshake's answer has no clientId", text())
            self._client_id = client_id
            ext = message.get("ext")
            self.has_replay = isinstance(ext, Mapping) and ext.get("replay") is True
            self.state = SessionState.HANDSHAKEN
        if channel == SUBSCRIBE:
            self.state = SessionState.SUBSCRIBED
        return None

    def _pace(self, now: float, *, empty: bool) -> None:
        """Set the pause before the next connect: the advised interval, or longer if the server
        answers immediately instead of holding the connect."""
        held = now - self._sent_at >= min(_HASTY, self.hold / 2)
        hasty = empty and not held and self._connects > 1
        self._hasty_answers = self._hasty_answers + 1 if hasty else 0
        pause = _HASTY_BACKOFF.delay(self._hasty_answers) if hasty else 0.0
        self._not_before = now + max(self._interval, pause)


def _is_meta(message: Message) -> bool:
    channel = message.get("channel")
    return isinstance(channel, str) and channel.startswith("/meta/")


def _refusal(message: Message, channel: str, advice: Message) -> StreamRefused:
    error = message.get("error")
    text = error if isinstance(error, str) else ""
    failure_reason = _failure_reason(message)
    reaction = classify(failure_reason, text, advice)
    text = text or "no reason given"
    if reaction is Reaction.REPLAY_LOST:
        return ReplayLost(channel, text)
    return StreamRefused(channel, text, reaction, failure_reason=failure_reason)


def _failure_reason(message: Message) -> str:
    match message.get("ext"):
        case {"sfdc": {"failureReason": str() as reason}}:
            return reason
        case _:
            return ""


def _as_number(replay: str) -> int | str:
    """Return the replay id as a number, as Salesforce expects; other texts stay unchanged."""
    digits = replay.removeprefix("-")
    if digits.isascii() and digits.isdecimal() and len(digits) < 400:
        number = int(replay)
        return number if str(number) == replay else replay
    return replay


def _seconds(milliseconds: Any, default: float, most: float) -> float:
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return default
    if not math.isfinite(milliseconds) or milliseconds < 0:
        return default
    return min(milliseconds / 1000, most)
