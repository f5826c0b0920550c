"""Messages and refusals from answers, until ``poll`` takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from listeners.salesforce.errors import (
    CometdRefused,
    MalformedAnswer,
    Reaction,
    ReplayLost,
    SalesforceError,
    StreamRefused,
)
from listeners.salesforce.http.request import Answer


class Inbox:
    """Received messages and at most one refusal, which is raised after the messages are taken."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._messages: list[Mapping[str, Any]] = []
        self._refusal: SalesforceError | None = None
        self._bytes = 0
        #: The size of the answers whose messages were taken last.
        self.taken_bytes = 0
        #: When Salesforce last accepted a request, on the monotonic clock and on its own.
        self.last_answer_at: float | None = None
        self.server_time: datetime | None = None

    @property
    def has_news(self) -> bool:
        return bool(self._messages) or self._refusal is not None

    def put(self, outcomes: Iterable[Outcome], answer: Answer) -> None:
        """Add the outcomes of an answer. Of several refusals only the first is kept."""
        self._bytes += len(answer.body)
        for outcome in outcomes:
            match outcome:
                case Received(messages=messages):
                    self._messages.extend(messages)
                case Refused():
                    self._refusal = self._refusal or _refusal(outcome)
                case Unclear(why=why):
                    self._refusal = self._refusal or MalformedAnswer(why, answer.text())
                case Acknowledged():
                    self.last_answer_at = self._monotonic()
                    self.server_time = answer.date()

    def messages(self) -> list[Mapping[str, Any]]:
        """Take the messages; without messages, raise the refusal, or return [] if there is none."""
        if not self._messages:
            self.raise_refusal()
        return self.take()

    def take(self) -> list[Mapping[str, Any]]:
        taken, self._messages = self._messages, []
        self.taken_bytes, self._bytes = self._bytes, 0
        return taken

    def raise_refusal(self) -> None:
        """Raise the refusal once, if there is one."""
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            raise refusal

    def clear(self) -> None:
        """Remove messages and refusal for a new session, but keep the time of the last answer."""
        self._messages, self._refusal, self._bytes = [], None, 0


def _refusal(refused: Refused) -> StreamRefused:
    if refused.reaction is Reaction.REPLAY_LOST:
        return ReplayLost(refused.channel, refused.error)
    return CometdRefused(refused.error, refused.failure_reason, refused.reaction, refused.channel)


Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Received:
    """Data messages, in the order of the answer."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The request on this meta channel succeeded."""

    channel: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The request on this meta channel failed, or the server ends the session."""

    channel: str
    error: str
    failure_reason: str | None
    reaction: Reaction


@dataclass(frozen=True, slots=True)
class Unclear:
    """The answer lacks a part that a Bayeux answer to this request must have."""

    why: str


Outcome = Received | Acknowledged | Refused | Unclear
