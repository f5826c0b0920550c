"""The two kinds of subscription: from our position, or with a position that Salesforce stores."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Protocol

from listeners.salesforce import replay_ids
from listeners.salesforce.errors import Reaction, StreamRefused
from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire

_PRESETS = {"-1": wire.ReplayPreset.LATEST, "-2": wire.ReplayPreset.EARLIEST}
#: After this many seconds without an answer to a commit, the next one is sent.
COMMIT_SECONDS = 10.0


class Dialect(Protocol):
    """The requests of a subscription call. Used on the event loop, for one call."""

    @property
    def method(self) -> str:
        """The name of the gRPC method."""

    def first(self, credits: int) -> Any:
        """Return the first request of the call."""

    def next(self, credits: int, now: float) -> Any | None:
        """Return the next request; None if none is due."""

    def record(self, replay_id: str) -> None:
        """Note that all events up to this one are durable."""

    def answered(self, response: Any) -> None:
        """Process the parts of a response other than events. Raises ``StreamRefused``."""

    def is_news(self, response: Any) -> bool:
        """Return whether a response has events or is a keep-alive, not only a commit response."""

    def wait(self, now: float) -> float | None:
        """Return the seconds until a request is due without another event; None for never."""

    @property
    def is_settled(self) -> bool:
        """Whether no commit is waiting or unanswered."""


@dataclass(frozen=True, slots=True)
class Plain:
    """Subscribe: the subscription starts from our position."""

    channel: str
    preset: wire.ReplayPreset
    replay_id: bytes = b""

    @property
    def method(self) -> str:
        return "Subscribe"

    def first(self, credits: int) -> wire.FetchRequest:
        return wire.FetchRequest(
            topic_name=self.channel,
            replay_preset=self.preset,
            replay_id=self.replay_id,
            num_requested=credits,
        )

    def next(self, credits: int, now: float) -> wire.FetchRequest | None:
        if not credits:
            return None
        return wire.FetchRequest(topic_name=self.channel, num_requested=credits)

    def record(self, replay_id: str) -> None:
        """Do nothing: Salesforce does not store the position."""

    def answered(self, response: Any) -> None:
        """Do nothing: responses contain only events."""

    def is_news(self, response: Any) -> bool:
        return True

    def wait(self, now: float) -> float | None:
        return None

    @property
    def is_settled(self) -> bool:
        return True


def from_position(channel: str, replay: str) -> Plain:
    """Return the subscription. Raises ReplayLost if the position has no Pub/Sub form."""
    if replay in _PRESETS:
        return Plain(channel, _PRESETS[replay])
    return Plain(channel, wire.ReplayPreset.CUSTOM, replay_ids.for_pubsub(replay))


class Managed:
    """ManagedSubscribe: Salesforce stores the position.

    One commit is sent at a time. The next one commits the latest position recorded since.
    """

    method = "ManagedSubscribe"

    def __init__(self, name: str) -> None:
        """``name`` is the subscription's developer name."""
        self._name = name
        self._numbers = itertools.count(1)
        self._recorded: bytes | None = None
        self._awaited: tuple[str, float] | None = None

    def first(self, credits: int) -> wire.ManagedFetchRequest:
        return wire.ManagedFetchRequest(developer_name=self._name, num_requested=credits)

    def next(self, credits: int, now: float) -> wire.ManagedFetchRequest | None:
        commit = self._commit(now)
        if commit is None and not credits:
            return None
        return wire.ManagedFetchRequest(
            developer_name=self._name, num_requested=credits, commit_replay_id_request=commit
        )

    def record(self, replay_id: str) -> None:
        self._recorded = replay_ids.for_pubsub(replay_id)

    def answered(self, response: wire.ManagedFetchResponse) -> None:
        if not response.HasField("commit_response"):
            return
        answer = response.commit_response
        if self._awaited is not None and answer.commit_request_id == self._awaited[0]:
            self._awaited = None
        if answer.HasField("error"):
            code = f"error {answer.error.code}"
            raise StreamRefused("the commit", answer.error.msg, Reaction.REHANDSHAKE, code=code)

    def is_news(self, response: wire.ManagedFetchResponse) -> bool:
        return bool(response.events) or not response.HasField("commit_response")

    @property
    def is_settled(self) -> bool:
        return self._recorded is None and self._awaited is None

    def wait(self, now: float) -> float | None:
        if self._recorded is None or self._awaited is None:
            return None
        return max(0.0, self._awaited[1] - now)

    def _commit(self, now: float) -> wire.CommitReplayRequest | None:
        if self._recorded is None or (self._awaited is not None and now < self._awaited[1]):
            return None
        number = str(next(self._numbers))
        recorded, self._recorded = self._recorded, None
        self._awaited = number, now + COMMIT_SECONDS
        return wire.CommitReplayRequest(commit_request_id=number, replay_id=recorded)
