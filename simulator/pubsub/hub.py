"""The state of the Pub/Sub API: calls, subscribers, their permissions and credits."""

import asyncio
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

from simulator.auth.oauth import TokenService
from simulator.evidence import MAX_ENTRIES
from simulator.faults import Fault, Faults
from simulator.org.clock import Clock
from simulator.org.events import StoredEvent
from simulator.org.ids import ORG_ID
from simulator.org.org import Org
from simulator.org.records import JsonObject
from simulator.pubsub.positions import ManagedSubscriptions
from simulator.pubsub_codes import PubSubError

MAX_REQUESTS_SHOWN = 100
MAX_REQUESTED = 100
TOKEN = "accesstoken"


@dataclass(slots=True, eq=False)
class Call:
    """One call of a method, kept as evidence; `status` is empty while it runs."""

    method: str
    at: int
    peer: str
    metadata: dict[str, str]
    token: str
    rpc_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    topic: str = ""
    requests: list[JsonObject] = field(default_factory=list)
    request_count: int = 0
    status: str = ""
    code: str = ""

    def note(self, request: JsonObject) -> None:
        self.request_count += 1
        if len(self.requests) < MAX_REQUESTS_SHOWN:
            self.requests.append(request)

    def line(self) -> JsonObject:
        shown = asdict(self)
        has_token = bool(shown.pop("token"))
        return {**shown, "has_token": has_token}


@dataclass(slots=True, eq=False)
class Subscriber:
    """The state of a stream: its flow control, and the means to wake it.

    It continues after the id `position`; `name` is that of a managed subscription.
    """

    call: Call
    topic: str = ""
    position: int = 0
    queue: deque[StoredEvent] = field(default_factory=deque)
    credits: int = 0
    delivered: int = 0
    awake: asyncio.Event = field(default_factory=asyncio.Event)
    name: str = ""
    stalled_until: float = 0.0
    keeps_alive: bool = True

    def start(self, topic: str, position: int, backlog: Iterable[StoredEvent]) -> None:
        """Start the stream after its first request."""
        self.topic = topic
        self.position = position
        self.queue.extend(backlog)

    def grant(self, requested: int) -> None:
        """Grant the requested credits. Raises PubSubError for too many or none."""
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
        """Return the next requested event, counted as delivered."""
        event = self.queue.popleft()
        self.position = event.replay_id
        self.credits -= 1
        self.delivered += 1
        return event

    def line(self) -> JsonObject:
        names = ("topic", "credits", "delivered", "position")
        return {
            "method": self.call.method,
            "rpc_id": self.call.rpc_id,
            "peer": self.call.peer,
            "subscription": self.name,
            "queued": len(self.queue),
            **{name: getattr(self, name) for name in names},
        }


class Hub:
    """The state that the methods share."""

    def __init__(self, org: Org, tokens: TokenService, faults: Faults, clock: Clock) -> None:
        self.org = org
        self.tokens = tokens
        self.faults = faults
        self.clock = clock
        self.managed = ManagedSubscriptions()
        self.calls: deque[Call] = deque(maxlen=MAX_ENTRIES)
        self.subscribers: list[Subscriber] = []
        self.delivered = 0
        org.observe(self.publish)

    def publish(self, event: StoredEvent) -> None:
        """Queue an event for every stream whose topic carries it."""
        for subscriber in self.subscribers:
            if parts := self.org.delivered(subscriber.topic, event):
                subscriber.queue.extend(parts)
                subscriber.awake.set()

    def wake(self) -> None:
        """Make every stream check its token and the faults."""
        for subscriber in self.subscribers:
            subscriber.awake.set()

    def end_stalls(self) -> None:
        """Let every stalled stream continue."""
        for subscriber in self.subscribers:
            subscriber.stalled_until = 0.0
            subscriber.awake.set()

    @contextmanager
    def subscribed(self, subscriber: Subscriber) -> Iterator[None]:
        """Register the stream inside the `with` block, so that it receives new events."""
        self.subscribers.append(subscriber)
        try:
            yield
        finally:
            self.subscribers.remove(subscriber)

    def arrival(self, method: str, peer: str, metadata: Mapping[str, str]) -> Call:
        """Record a new call."""
        shown = {name: value for name, value in metadata.items() if name != TOKEN}
        call = Call(method, self.clock.now(), peer, shown, metadata.get(TOKEN, ""))
        self.calls.append(call)
        return call

    def check(self, call: Call) -> None:
        """Raise PubSubError unless the metadata of the call is valid."""
        instance = urlsplit(call.metadata.get("instanceurl", ""))
        tenant = call.metadata.get("tenantid", "")
        if not call.token or not tenant or not instance.hostname or instance.scheme[:4] != "http":
            raise PubSubError(
                "service.auth.headers.invalid",
                "The metadata must have accesstoken, instanceurl and tenantid.",
            )
        if tenant not in (ORG_ID, ORG_ID[:15]) or self.token_seconds(call) <= 0:
            raise PubSubError("service.auth.error")

    def token_seconds(self, call: Call) -> float:
        """Return how many seconds the token of the call stays valid."""
        return self.tokens.milliseconds_left(call.token, self.clock.now()) / 1000

    def fault(self, kind: str, call: Call, *, waits_for_events: bool = False) -> Fault | None:
        """Return the oldest fault of a kind for this call, and count its use unless it waits."""
        for fault in self.faults.waiting:
            options = fault.options
            if (
                fault.kind == kind
                and options["method"] in ("", call.method)
                and fault.applies("pubsub", call.topic, "")
                and waits_for_events == (options.get("after_events") is not None)
            ):
                if not waits_for_events:
                    self.faults.use(fault)
                return fault
        return None

    def state(self) -> JsonObject:
        return {
            "streams": [subscriber.line() for subscriber in self.subscribers],
            "managed_subscriptions": [item.line() for item in self.managed.by_name.values()],
            "delivered": self.delivered,
        }


def error_of(fault: Fault) -> PubSubError:
    """Return the error of a `grpc_status` fault."""
    options = fault.options
    return PubSubError(options["code"], options["details"], options["status"])
