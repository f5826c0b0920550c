"""One event stream of the Pub/Sub API, from its first request to its end."""

import asyncio
from typing import Any

from simulator.faults import Fault
from simulator.options import Options
from simulator.org.avro.schema import UNREADABLE
from simulator.pubsub import positions
from simulator.pubsub.hub import Call, Hub, Subscriber, error_of
from simulator.pubsub.positions import replay_bytes
from simulator.pubsub.wire import pubsub_api_pb2 as pb
from simulator.pubsub_codes import PubSubError

MAX_MESSAGE_BYTES = 3_900_000
#: How many seconds a client has at least for its first request.
FIRST_REQUEST_SECONDS = 60.0
NOTHING_REQUESTED = "No events were requested for too long."
FETCH_REQUEST = ("topic_name", "replay_preset", "replay_id", "num_requested")


class Stream(Subscriber):
    """A Subscribe call. `context` is that of grpc.aio; PubSubError ends the stream."""

    response: Any = pb.FetchResponse

    def __init__(self, hub: Hub, call: Call, context: Any, options: Options) -> None:
        super().__init__(call)
        self.hub = hub
        self._context = context
        self._options = options
        self._now = asyncio.get_running_loop().time
        self._sent_at = self._now()
        self._refused: PubSubError | None = None
        self._half_closed = False

    async def run(self) -> None:
        """Run until the client leaves or the stream is refused."""
        first = await self._first()
        if first is None:
            return
        try:
            self.begin(first)
            if fault := self.hub.fault("grpc_status", self.call):
                raise error_of(fault)
            self.more(first)
            with self.hub.subscribed(self):
                await self._read_and_deliver()
        finally:
            self.end()

    async def _first(self) -> Any:
        """Return the first request, or None if the client leaves without one."""
        try:
            seconds = max(FIRST_REQUEST_SECONDS, self._options.grpc_idle_credits)
            async with asyncio.timeout(seconds):
                first = await self._context.read()
        except TimeoutError:
            raise PubSubError("service.unavailable", NOTHING_REQUESTED) from None
        return first if self._is_request(first) else None

    async def _read_and_deliver(self) -> None:
        reading = asyncio.create_task(self._read())
        try:
            await self._deliver()
        finally:
            reading.cancel()
            await asyncio.wait([reading])

    def begin(self, request: Any) -> None:
        """Start the subscription that the first request names. Raises PubSubError."""
        topic, org = request.topic_name, self.hub.org
        self.call.topic = topic
        self.call.note(_shown(request))
        org.log.expire(self.hub.clock.now())
        backlog = positions.backlog(org, topic, request.replay_preset, request.replay_id)
        start = org.log.newest_id
        if request.replay_preset == positions.CUSTOM:
            start = positions.replay_number(org, request.replay_id)
        elif backlog:
            start = org.log.begins_after
        self.start(topic, start, backlog)

    def later(self, request: Any) -> None:
        """Check the parts that only a later request can get wrong. Raises PubSubError."""
        self.call.note(_shown(request))
        if request.topic_name not in ("", self.topic):
            raise PubSubError("subscription.fetch.topic.mismatch", "The topic has changed.")
        if request.replay_id:
            raise PubSubError("subscription.fetch.replay.repeated", "The Replay ID is repeated.")

    def more(self, request: Any) -> None:
        """Grant the credits of a request. Raises PubSubError."""
        if request.auth_refresh:
            raise PubSubError("service.auth.refresh.invalid", "auth_refresh is not for clients.")
        self.grant(request.num_requested)

    def extra(self) -> Any:
        """Return another due message, if any."""
        return None

    def check(self) -> None:
        """Raise PubSubError if the stream may not continue."""
        if self._refused:
            raise self._refused
        if self.hub.token_seconds(self.call) <= 0:
            raise PubSubError("service.auth.error")

    def end(self) -> None:
        """End the stream."""

    @staticmethod
    def _is_request(message: object) -> bool:
        return hasattr(message, "num_requested")

    async def _read(self) -> None:
        try:
            while self._is_request(request := await self._context.read()):
                self.later(request)
                self.more(request)
                self.awake.set()
        except PubSubError as refused:
            self._refused = refused
        self._half_closed = True
        self.awake.set()

    async def _deliver(self) -> None:
        while True:
            self.awake.clear()
            self.check()
            self._take_stall()
            if message := self._next_message():
                self._sent_at = self._now()
                await self._context.write(message)
            elif self._half_closed:
                return
            else:
                await self._wait()

    def _next_message(self) -> Any:
        stalled = self._now() < self.stalled_until
        fault = None if stalled else self._due_fault()
        if not stalled and (extra := self.extra()):
            return extra
        if not stalled and (events := self._batch(fault)):
            return self._response(events)
        idle_since = self._now() - self._sent_at
        if self.credits and idle_since >= self._options.grpc_keep_alive and self.keeps_alive:
            return self._response([])
        if not self.credits and idle_since >= self._options.grpc_idle_credits and not stalled:
            raise PubSubError("service.unavailable", NOTHING_REQUESTED)
        return None

    def _due_fault(self) -> Fault | None:
        """Return the fault that waits for events. Raises its error once enough were delivered."""
        fault = self.hub.fault("grpc_status", self.call, waits_for_events=True)
        if fault and self.delivered >= fault.options["after_events"]:
            self.hub.faults.use(fault)
            raise error_of(fault)
        return fault

    def _take_stall(self) -> None:
        if fault := self.hub.fault("grpc_stall", self.call):
            self.stalled_until = self._now() + fault.options["seconds"]
            self.keeps_alive = fault.options["keep_alives"]
        elif self._now() >= self.stalled_until:
            self.keeps_alive = True

    def _batch(self, fault: Fault | None) -> list[Any]:
        """Return as many events as the credits, the size of a message and the fault allow."""
        events: list[Any] = []
        size = 0
        last = self.delivered + self.credits
        if fault:
            last = min(last, int(fault.options["after_events"]))
        while self.queue and self.delivered < last:
            avro = self.queue[0].avro
            payload = UNREADABLE if avro is None else avro
            size += len(payload) + 256
            if events and size > MAX_MESSAGE_BYTES:
                break
            stored = self.next()
            event = pb.ProducerEvent(id=stored.event_uuid, schema_id=stored.schema, payload=payload)
            events.append(pb.ConsumerEvent(event=event, replay_id=replay_bytes(stored.replay_id)))
        self.hub.delivered += len(events)
        return events

    def _response(self, events: list[Any]) -> Any:
        """Return the response; the latest id of a keep-alive is the newest of the log."""
        if not events and not self.queue:
            self.position = self.hub.org.log.newest_id
        return self.response(
            events=events,
            latest_replay_id=replay_bytes(self.position),
            rpc_id=self.call.rpc_id,
            pending_num_requested=self.credits,
        )

    async def _wait(self) -> None:
        """Wait for news, or until something is due."""
        now = self._now()
        quiet = self._options.grpc_keep_alive if self.credits else self._options.grpc_idle_credits
        due = [now + self.hub.token_seconds(self.call)]
        is_stalled = self.stalled_until > now
        if is_stalled:
            due.append(self.stalled_until)
        if not is_stalled or self.keeps_alive:
            due.append(self._sent_at + quiet)
        try:
            async with asyncio.timeout(max(min(due) - now, 0.001)):
                await self.awake.wait()
        except TimeoutError:
            return


def _shown(request: Any) -> dict[str, Any]:
    values = {name: getattr(request, name) for name in FETCH_REQUEST}
    return {**values, "replay_id": request.replay_id.hex()}
