"""The requests of a subscription: what they contain, how many events they ask for, and when.

Without I/O. A subscriber grants the server credits, one for each event. Throughput is limited to
credits per round trip, so used credits are granted again soon, as long as received events are
taken. They are granted several at a time: a request costs more than an event.
"""

from __future__ import annotations

import itertools
from typing import Any

from listeners.salesforce import replay_ids
from listeners.salesforce.errors import Reaction, StreamRefused
from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire

#: The most outstanding credits, one for each event: Salesforce's maximum.
MAX_CREDITS = 100
#: The fewest credits that a request grants, which reduces throughput by a tenth at most.
MIN_CREDITS_A_REQUEST = 10
#: How often to grant a credit while the inbox is full: the server closes a stream that has had no
#: credits for 60 s.
TRICKLE_SECONDS = 30.0
#: A request that is older than this has reached the server.
_SETTLED_SECONDS = 10.0


class Credits:
    """The credits of a stream that are granted and not used. Times are seconds on one clock."""

    def __init__(self, now: float) -> None:
        self.outstanding = 0
        self._received = 0
        self._asked_at = now

    def received(self, events: int, pending: int, now: float) -> None:
        """Count a response; ``pending`` is the server's number of open credits, 0 if unknown."""
        self._received += events
        self.outstanding = max(0, self.outstanding - events)
        if 0 < pending < self.outstanding and now - self._asked_at >= _SETTLED_SECONDS:
            self.outstanding = pending

    def has_open_credits(self, pending: int, now: float) -> bool:
        """Return whether the server has credits that it has not used: then it holds no event back.

        Either it sends their number, or the first request or an old one must have reached it.
        """
        is_seen = now - self._asked_at >= _SETTLED_SECONDS
        return pending > 0 or (self.outstanding if is_seen else MAX_CREDITS - self._received) > 0

    def asked(self, events: int, now: float) -> None:
        """Count a request for events."""
        self.outstanding += events
        self._asked_at = now

    def due(self, now: float, *, is_full: bool) -> int:
        """Return the credits to grant now; with a full inbox, only enough to keep the stream."""
        if not is_full:
            used = MAX_CREDITS - self.outstanding
            return used if used >= MIN_CREDITS_A_REQUEST else 0
        return 1 if self.wait(is_full=True, now=now) == 0.0 else 0

    def wait(self, now: float, *, is_full: bool) -> float | None:
        """Return the seconds until credits are due without another event; None for never."""
        if not is_full or self.outstanding:
            return None
        return max(0.0, self._asked_at + TRICKLE_SECONDS - now)


_PRESETS = {"-1": wire.ReplayPreset.LATEST, "-2": wire.ReplayPreset.EARLIEST}
#: After this many seconds without an answer to a commit, the next one is sent.
COMMIT_SECONDS = 10.0


class Subscribe:
    """The requests of a Subscribe call, which starts from our position."""

    method = "Subscribe"
    #: Whether Salesforce has accepted a commit of this call, and still has its position.
    has_committed = False

    def __init__(self, channel: str, replay: str) -> None:
        """Raises ReplayLost if the position has no Pub/Sub form."""
        self._channel = channel
        self._preset = _PRESETS.get(replay, wire.ReplayPreset.CUSTOM)
        self._replay_id = b"" if replay in _PRESETS else replay_ids.for_pubsub(replay)

    def first(self, credits: int) -> Any:
        """Return the first request of the call."""
        return wire.FetchRequest(
            topic_name=self._channel,
            replay_preset=self._preset,
            replay_id=self._replay_id,
            num_requested=credits,
        )

    def next(self, credits: int, now: float) -> Any | None:
        """Return the next request; None if none is due."""
        if not credits:
            return None
        return wire.FetchRequest(topic_name=self._channel, num_requested=credits)

    def record(self, replay_id: str) -> None:
        """Note that all events up to this one are durable."""

    def answered(self, response: Any) -> None:
        """Process the parts of a response other than events. Raises ``StreamRefused``."""

    def has_events_or_keep_alive(self, response: Any) -> bool:
        """Return whether a response has events or is a keep-alive, not only a commit response."""
        return True

    def wait(self, now: float) -> float | None:
        """Return the seconds until a request is due without another event; None for never."""
        return None

    def position_deleted(self) -> None:
        """Note that Salesforce has deleted the position."""

    @property
    def is_settled(self) -> bool:
        """Whether no commit is waiting or unanswered."""
        return True


class ManagedSubscribe(Subscribe):
    """The requests of a ManagedSubscribe call: Salesforce stores the position.

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

    def answered(self, response: Any) -> None:
        if not response.HasField("commit_response"):
            return
        answer = response.commit_response
        if self._awaited is not None and answer.commit_request_id == self._awaited[0]:
            self._awaited = None
        if answer.HasField("error"):
            code = f"error {answer.error.code}"
            raise StreamRefused("the commit", answer.error.msg, Reaction.REHANDSHAKE, code=code)
        self.has_committed = True

    def has_events_or_keep_alive(self, response: Any) -> bool:
        return bool(response.events) or not response.HasField("commit_response")

    def position_deleted(self) -> None:
        self.has_committed = False

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
