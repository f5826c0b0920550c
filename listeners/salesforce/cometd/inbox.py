"""What answers brought and nobody has taken yet: messages, and a refusal."""

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
    """A refusal that came together with messages waits until those were taken."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._messages: list[Mapping[str, Any]] = []
        self._refusal: SalesforceError | None = None
        self._bytes = 0
        #: Of the answers that brought what was taken last.
        self.taken_bytes = 0
        #: When Salesforce last accepted a request, and its clock at that.
        self.last_answer_at: float | None = None
        self.server_time: datetime | None = None

    @property
    def has_news(self) -> bool:
        return bool(self._messages) or self._refusal is not None

    def put(self, outcomes: Iterable[Outcome], answer: Answer) -> None:
        """What one answer means. Of several refusals the first counts."""
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
        """The messages, or [] where there are none; then the refusal is raised, if there is one."""
        if not self._messages:
            self.raise_refusal()
        return self.take()

    def take(self) -> list[Mapping[str, Any]]:
        taken, self._messages = self._messages, []
        self.taken_bytes, self._bytes = self._bytes, 0
        return taken

    def raise_refusal(self) -> None:
        """Raises it once, if there is one."""
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            raise refusal

    def clear(self) -> None:
        """For a new session. When the last one was heard stays known."""
        self._messages, self._refusal, self._bytes = [], None, 0


def _refusal(refused: Refused) -> StreamRefused:
    if refused.reaction is Reaction.REPLAY_LOST:
        return ReplayLost(refused.channel, refused.error)
    return CometdRefused(refused.error, refused.failure_reason, refused.reaction, refused.channel)


Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Received:
    """Data messages, in the order they came."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The request on this meta channel succeeded."""

    channel: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The request on this meta channel failed, or the answer asks to leave this session."""

    channel: str
    error: str
    failure_reason: str | None
    reaction: Reaction


@dataclass(frozen=True, slots=True)
class Unclear:
    """The answer lacks what a Bayeux answer to this request must hold."""

    why: str


Outcome = Received | Acknowledged | Refused | Unclear
