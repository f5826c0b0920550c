"""A minimal client of the Pub/Sub API, with the product's protobuf messages, not the
simulator's."""

import io
import json
import queue
from types import TracebackType
from typing import Any, Self

import fastavro
import grpc
import pytest

from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as pb
from tests.servers import PATIENCE_SECONDS
from tests.simulator.process import SimulatorProcess

ALL = "/data/ChangeEvents"
SERVICE = "/eventbus.v1.PubSub/"
PREFIX = "sfdc.platform.eventbus.grpc."


class Ended(Exception):
    """The end of a call: the status's name, and the error code without its prefix."""

    def __init__(self, error: grpc.RpcError) -> None:
        metadata: Any = error.trailing_metadata() or ()
        trailers: dict[str, Any] = dict(metadata)
        self.status: str = error.code().name
        self.code = str(trailers.get("error-code", "")).removeprefix(PREFIX)
        super().__init__(self.status, self.code)


class Stream:
    """A running subscription."""

    def __init__(self, channel: grpc.Channel, method: str, answer: Any, metadata: Any) -> None:
        self._requests: queue.Queue[Any] = queue.Queue()
        open_stream: Any = channel.stream_stream(
            SERVICE + method,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        requests = iter(self._requests.get, None)
        self.call = open_stream(requests, metadata=metadata, timeout=PATIENCE_SECONDS)

    def send(self, request: Any) -> Self:
        """Send another request; None ends the requests."""
        self._requests.put(request)
        return self

    def next(self) -> Any:
        """Return the next response. Raises Ended."""
        try:
            return next(self.call)
        except grpc.RpcError as error:
            raise Ended(error) from error

    def drain(self) -> None:
        """Read until the end. Raises Ended unless the status is OK."""
        try:
            for _ in self.call:
                pass
        except grpc.RpcError as error:
            raise Ended(error) from error

    def next_events(self) -> Any:
        """Return the next response that has events."""
        while not (response := self.next()).events:
            pass
        return response

    def events(self, count: int) -> list[Any]:
        """Return `count` events, from as many responses as necessary."""
        found: list[Any] = []
        while len(found) < count:
            found += self.next().events
        return found

    def close(self) -> None:
        """Cancel the subscription."""
        self._requests.put(None)
        self.call.cancel()


class PubSubClient:
    """A client with a channel and a token."""

    def __init__(self, org: SimulatorProcess, credentials: Any = None) -> None:
        self._org = org
        self._streams: list[Stream] = []
        address = org.grpc_endpoint.removeprefix("http://")
        self.channel = (
            grpc.secure_channel(address, credentials)
            if credentials
            else grpc.insecure_channel(address)
        )
        self.metadata: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self.log_in()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for stream in self._streams:
            stream.close()
        self.channel.close()

    def log_in(self) -> Self:
        """Log in, and use the new token."""
        form = {name: self._org.credentials[name] for name in ("client_id", "client_secret")}
        url = f"{self._org.url}/services/oauth2/token"
        form["grant_type"] = "client_credentials"
        answer = self._org.http.post(url, data=form, timeout=PATIENCE_SECONDS).json()
        self.metadata = {
            "accesstoken": answer["access_token"],
            "instanceurl": answer["instance_url"],
            "tenantid": self._org.credentials["org_id"],
        }
        return self

    def call(self, method: str, request: Any, answer: Any) -> Any:
        """Make one call. Raises Ended."""
        unary: Any = self.channel.unary_unary(
            SERVICE + method,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        try:
            return unary(
                request,
                metadata=tuple(self.metadata.items()),
                timeout=PATIENCE_SECONDS,
                wait_for_ready=True,
            )
        except grpc.RpcError as error:
            raise Ended(error) from error

    def topic(self, name: str) -> Any:
        """Call GetTopic."""
        return self.call("GetTopic", pb.TopicRequest(topic_name=name), pb.TopicInfo)

    def schema(self, schema_id: str) -> Any:
        """Call GetSchema, and return the parsed schema."""
        request = pb.SchemaRequest(schema_id=schema_id)
        return json.loads(self.call("GetSchema", request, pb.SchemaInfo).schema_json)

    def stream(self, method: str = "Subscribe", answer: Any = pb.FetchResponse) -> Stream:
        """Open a stream without a request."""
        stream = Stream(self.channel, method, answer, tuple(self.metadata.items()))
        self._streams.append(stream)
        return stream

    def subscribe(self, topic: str = ALL, requested: int = 100, **fields: Any) -> Stream:
        """Open a stream with its first request."""
        request = pb.FetchRequest(topic_name=topic, num_requested=requested, **fields)
        return self.stream().send(request)

    def manage(self, requested: int = 100, **fields: Any) -> Stream:
        """Open a managed stream with its first request."""
        request = pb.ManagedFetchRequest(num_requested=requested, **fields)
        return self.stream("ManagedSubscribe", pb.ManagedFetchResponse).send(request)

    def decoded(self, event: Any) -> dict[str, Any]:
        """Return an event's values without nulls."""
        schema = fastavro.parse_schema(self.schema(event.event.schema_id))
        payload = io.BytesIO(event.event.payload)
        datum: Any = fastavro.schemaless_reader(payload, schema)
        assert not payload.read(), "the schema leaves bytes over"
        return {name: value for name, value in datum.items() if value is not None}


def names(events: list[Any], client: PubSubClient) -> list[Any]:
    """Return the Name of each event."""
    return [client.decoded(event)["Name"] for event in events]


def ended(stream: Stream) -> tuple[str, str]:
    """Return the status and the code with which a stream ends."""
    with pytest.raises(Ended) as caught:
        stream.drain()
    return caught.value.status, caught.value.code
