"""Flow control: events wait in a queue until the client has asked for them."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from simulator.events import StoredEvent
from simulator.pubsub_codes import PubSubError

MAX_REQUESTED = 100


@dataclass(slots=True)
class Flow:
    """What one stream is owed; `position` is the id after which it goes on."""

    topic: str
    position: int
    queue: deque[StoredEvent] = field(default_factory=deque)
    credits: int = 0
    delivered: int = 0

    def begin(self, topic: str, position: int, backlog: Iterable[StoredEvent]) -> None:
        """The first request has said what it is about."""
        self.topic = topic
        self.position = position
        self.queue.extend(backlog)

    def grant(self, requested: int) -> None:
        """The client asks for more; raises PubSubError if that is too much or nothing."""
        if not 0 < requested <= MAX_REQUESTED:
            raise PubSubError(
                "subscription.fetch.requested.events.invalid",
                f"num_requested must be between 1 and {MAX_REQUESTED}, and is {requested}.",
            )
        if self.credits + requested > MAX_REQUESTED:
            raise PubSubError(
                "subscription.fetch.overflow",
                f"{self.credits + requested} events would be outstanding; {MAX_REQUESTED} may be.",
            )
        self.credits += requested

    def next(self) -> StoredEvent:
        """The next event, which the client has asked for; it counts as delivered."""
        event = self.queue.popleft()
        self.position = event.replay_id
        self.credits -= 1
        self.delivered += 1
        return event
