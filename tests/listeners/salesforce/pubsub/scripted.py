"""A Pub/Sub API that follows a test's script, and keeps the requests that it receives."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc

from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire
from tests.listeners.salesforce.pubsub.scripted_events import SCHEMA_ID, SCHEMA_JSON

PREFIX = "sfdc.platform.eventbus.grpc."
PATIENCE = 20.0


@dataclass(frozen=True)
class Refusal:
    status: grpc.StatusCode
    code: str = ""  # of Salesforce's, without what all have in common
    details: str = "refused"

    def end(self, context: grpc.ServicerContext) -> None:
        if self.code:
            context.set_trailing_metadata((("error-code", PREFIX + self.code),))
        context.abort(self.status, self.details)


EXPIRED = Refusal(grpc.StatusCode.UNAUTHENTICATED, "service.auth.error")


@dataclass
class Call:
    """A call of Subscribe or ManagedSubscribe, as its script sees it."""

    metadata: dict[str, str]
    context: grpc.ServicerContext
    requests: list[Any] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    _waiting: queue.Queue[Any] = field(default_factory=queue.Queue)

    def request(self) -> Any:
        """Return the next request."""
        return self._waiting.get(timeout=PATIENCE)

    def refuse(self, refusal: Refusal) -> None:
        """Refuse once the first request has come, as Salesforce does."""
        assert self.begun.wait(PATIENCE)
        refusal.end(self.context)

    def until_hung_up(self) -> None:
        assert self.ended.wait(PATIENCE)

    def listen(self, requests: Iterator[Any]) -> None:
        try:
            for request in requests:
                self.requests.append(request)
                self._waiting.put(request)
                self.begun.set()
        except grpc.RpcError:
            pass  # hung up
        self.begun.set()
        self.ended.set()


Script = Callable[[Call], Iterator[Any]]


def idle(call: Call) -> Iterator[Any]:
    """Accept the subscription and send nothing."""
    call.context.send_initial_metadata(())
    call.until_hung_up()
    yield from ()


def playing(*responses: Any, then: Refusal | None = None) -> Script:
    """Return a script that sends these responses, and then refuses if `then` is given."""

    def script(call: Call) -> Iterator[Any]:
        yield from responses
        if then is not None:
            call.refuse(then)
        call.until_hung_up()

    return script


class ScriptedPubSub:
    """A server whose streams take the scripts in turn, and the last one repeatedly."""

    def __init__(self, *scripts: Script, credentials: Any = None) -> None:
        self.scripts = list(scripts) or [idle]
        self.calls: list[Call] = []
        self.topic: Callable[[], wire.TopicInfo | Refusal] = lambda: wire.TopicInfo(
            can_subscribe=True
        )
        self.schemas: dict[str, str | Refusal] = {SCHEMA_ID: SCHEMA_JSON}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._pool = ThreadPoolExecutor(16)
        self._server = grpc.server(self._pool, options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((self._methods(),))
        listen = "127.0.0.1:0"
        self.port = (
            self._server.add_secure_port(listen, credentials)
            if credentials
            else self._server.add_insecure_port(listen)
        )

    def _methods(self) -> grpc.GenericRpcHandler:
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        methods = (
            (unary, self.GetTopic, wire.TopicRequest, wire.TopicInfo),
            (unary, self.GetSchema, wire.SchemaRequest, wire.SchemaInfo),
            (stream, self.Subscribe, wire.FetchRequest, wire.FetchResponse),
            (stream, self.ManagedSubscribe, wire.ManagedFetchRequest, wire.ManagedFetchResponse),
        )
        return grpc.method_handlers_generic_handler(
            "eventbus.v1.PubSub",
            {
                behaviour.__name__: kind(behaviour, request.FromString, answer.SerializeToString)
                for kind, behaviour, request, answer in methods
            },
        )

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> ScriptedPubSub:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        for call in self.calls:
            call.ended.set()
        self._server.stop(0).wait()
        self._pool.shutdown()

    def count(self, method: str) -> int:
        return sum(asked == method for asked, _ in list(self.asked))

    def GetTopic(self, request: Any, context: Any) -> Any:
        self._note("GetTopic", context)
        topic = self.topic()
        if isinstance(topic, Refusal):
            topic.end(context)
        return topic

    def GetSchema(self, request: Any, context: Any) -> Any:
        self._note("GetSchema", context)
        schema = self.schemas.get(request.schema_id, Refusal(grpc.StatusCode.NOT_FOUND))
        if isinstance(schema, Refusal):
            schema.end(context)
            return None
        return wire.SchemaInfo(schema_id=request.schema_id, schema_json=schema)

    def Subscribe(self, requests: Any, context: Any) -> Iterator[Any]:
        return self._streamed("Subscribe", requests, context)

    def ManagedSubscribe(self, requests: Any, context: Any) -> Iterator[Any]:
        return self._streamed("ManagedSubscribe", requests, context)

    def _streamed(self, method: str, requests: Any, context: Any) -> Iterator[Any]:
        self._note(method, context)
        call = Call(dict(context.invocation_metadata()), context)
        self.calls.append(call)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        threading.Thread(target=call.listen, args=(requests,), daemon=True).start()
        yield from script(call)

    def _note(self, method: str, context: Any) -> None:
        self.asked.append((method, dict(context.invocation_metadata())))
