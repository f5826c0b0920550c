"""The two ways to subscribe: the position is ours, or Salesforce keeps it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Protocol

from listeners.salesforce import replay_ids
from listeners.salesforce.errors import PubSubRefused, Reaction
from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire

_PRESETS = {"-1": wire.ReplayPreset.LATEST, "-2": wire.ReplayPreset.EARLIEST}
#: An answer to a commit that takes longer is not waited for.
COMMIT_SECONDS = 10.0


class Dialect(Protocol):
    """What is said on one call; it lives as long as that, on the loop."""

    @property
    def method(self) -> str:
        """The call's name."""

    def first(self, credits: int) -> Any:
        """The request that begins it."""

    def next(self, credits: int, now: float) -> Any | None:
        """The request that is due; None if there is none."""

    def record(self, replay_id: str) -> None:
        """Everything until there is durable."""

    def answered(self, response: Any) -> None:
        """Raises ``PubSubRefused`` for what a response says beside its events."""

    def is_news(self, response: Any) -> bool:
        """Whether it says something of the stream: events, or that there are none."""

    def wait(self, now: float) -> float | None:
        """Seconds until a request is due even if nothing happens; None: never."""

    @property
    def is_settled(self) -> bool:
        """Nothing is left to say."""


@dataclass(frozen=True, slots=True)
class Plain:
    """Subscribe, from a position."""

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
        """The position is ours to keep."""

    def answered(self, response: Any) -> None:
        """It says nothing else."""

    def is_news(self, response: Any) -> bool:
        return True

    def wait(self, now: float) -> float | None:
        return None

    @property
    def is_settled(self) -> bool:
        return True


def from_position(channel: str, replay: str) -> Plain:
    """Raises ReplayLost for a position that is none here."""
    if replay in _PRESETS:
        return Plain(channel, _PRESETS[replay])
    return Plain(channel, wire.ReplayPreset.CUSTOM, replay_ids.for_pubsub(replay))


class Managed:
    """ManagedSubscribe. One commit is under way at a time; of what is recorded meanwhile the
    latest is committed next."""

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
        said = response.commit_response
        if self._awaited is not None and said.commit_request_id == self._awaited[0]:
            self._awaited = None
        if said.HasField("error"):
            code = f"error {said.error.code}"
            raise PubSubRefused("the commit", code, said.error.msg, Reaction.REHANDSHAKE)

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
