"""The Pub/Sub API server: grpc.aio with generic handlers for `eventbus.v1.PubSub`."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from simulator.options import Options
from simulator.org.ids import ORG_ID
from simulator.pubsub import positions
from simulator.pubsub.delivery import Stream
from simulator.pubsub.hub import Call, Hub, error_of
from simulator.pubsub.managed_stream import ManagedStream
from simulator.pubsub.wire import pubsub_api_pb2 as pb
from simulator.pubsub_codes import PubSubError

SERVICE = "eventbus.v1.PubSub"
SERVER_OPTIONS = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 4_194_304))


class PubSubServer:
    """The server, which can be restarted on the same port."""

    def __init__(self, hub: Hub, options: Options) -> None:
        self._hub = hub
        self._options = options
        self._server: aio.Server | None = None
        self._coming_up: asyncio.Task[None] | None = None
        self.port = options.grpc_port or 0

    async def start(self) -> None:
        """Listen. Raises OSError if the port is in use."""
        server = aio.server(options=SERVER_OPTIONS)
        server.add_generic_rpc_handlers((self._handlers(),))
        host = f"[{self._options.host}]" if ":" in self._options.host else self._options.host
        credentials = _credentials(self._options)
        address = f"{host}:{self.port}"
        try:
            if credentials:
                self.port = server.add_secure_port(address, credentials)
            else:
                self.port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"{address}: {error}") from error
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """End every call and close the port."""
        if self._coming_up:
            self._coming_up.cancel()
            await asyncio.wait([self._coming_up])
            self._coming_up = None
        if self._server:
            await self._server.stop(None)
            self._server = None

    async def restart(self, seconds: float) -> None:
        """Close every connection, and listen again after some seconds."""
        await self.stop()
        if seconds:
            self._coming_up = asyncio.create_task(self._start_later(seconds))
        else:
            await self.start()

    async def _start_later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.start()

    def _handlers(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "GetTopic": self._unary("GetTopic", self._topic, pb.TopicRequest),
                "GetSchema": self._unary("GetSchema", self._schema, pb.SchemaRequest),
                "Subscribe": self._stream("Subscribe", Stream, pb.FetchRequest),
                "ManagedSubscribe": self._stream(
                    "ManagedSubscribe", ManagedStream, pb.ManagedFetchRequest
                ),
            },
        )

    def _unary(self, method: str, answer: Callable[[Call, Any], Any], request_type: Any) -> Any:
        async def handle(request: Any, context: Any) -> Any:
            async def run(call: Call) -> Any:
                call.topic = getattr(request, "topic_name", "")
                call.note({name.name: value for name, value in request.ListFields()})
                if fault := self._hub.fault("grpc_status", call):
                    raise error_of(fault)
                if stall := self._hub.fault("grpc_stall", call):
                    await asyncio.sleep(stall.options["seconds"])
                return answer(call, request)

            return await self._answered(method, context, run)

        return grpc.unary_unary_rpc_method_handler(
            handle, request_type.FromString, lambda message: message.SerializeToString()
        )

    def _stream(self, method: str, kind: type[Stream], request_type: Any) -> Any:
        async def handle(_requests: Any, context: Any) -> None:
            async def run(call: Call) -> None:
                await context.send_initial_metadata(())
                await kind(self._hub, call, context, self._options).run()

            await self._answered(method, context, run)

        return grpc.stream_stream_rpc_method_handler(
            handle, request_type.FromString, lambda message: message.SerializeToString()
        )

    async def _answered(
        self, method: str, context: Any, run: Callable[[Call], Awaitable[Any]]
    ) -> Any:
        """Check the call, run it, and end it with its status."""
        metadata = {
            name: value for name, value in context.invocation_metadata() if isinstance(value, str)
        }
        call = self._hub.arrival(method, context.peer(), metadata)
        call.status = "CANCELLED"
        try:
            self._hub.check(call)
            call.status = ""
            answer = await run(call)
            call.status = "OK"
            return answer
        except PubSubError as refused:
            call.status, call.code = refused.status, refused.full_code
            return await _abort(context, call, refused)
        finally:
            call.status = call.status or "CANCELLED"

    def _topic(self, call: Call, request: Any) -> Any:
        org = self._hub.org
        positions.check_topic(org, request.topic_name)
        entity = org.catalogue.by_change_event(request.topic_name.removeprefix("/data/"))
        return pb.TopicInfo(
            topic_name=request.topic_name,
            tenant_guid=f"core/simulator/{ORG_ID}",
            can_publish=False,
            can_subscribe=positions.is_subscribable(org, request.topic_name),
            schema_id=org.schemas.current(entity.name).schema_id if entity else "",
            rpc_id=call.rpc_id,
        )

    def _schema(self, call: Call, request: Any) -> Any:
        schema = self._hub.org.schemas.by_id.get(request.schema_id)
        if schema is None:
            raise PubSubError(
                "schema.validation.failed", f"There is no schema {request.schema_id!r}."
            )
        return pb.SchemaInfo(
            schema_json=schema.text, schema_id=schema.schema_id, rpc_id=call.rpc_id
        )


async def _abort(context: Any, call: Call, refused: PubSubError) -> Any:
    trailers = [("rpc-id", call.rpc_id), ("type", call.method)]
    if refused.full_code:
        trailers.insert(0, ("error-code", refused.full_code))
    details = f"{refused.details} rpcId: {call.rpc_id}" if refused.full_code else refused.details
    await context.abort(grpc.StatusCode[refused.status], details, trailing_metadata=tuple(trailers))


def _credentials(options: Options) -> grpc.ServerCredentials | None:
    """Return the server credentials with the certificate of HTTPS, or None without one."""
    if not options.tls_cert:
        return None
    certificate = Path(options.tls_cert).read_bytes()
    key = Path(options.tls_key).read_bytes() if options.tls_key else certificate
    authority = Path(options.tls_client_ca).read_bytes() if options.tls_client_ca else None
    return grpc.ssl_server_credentials(
        [(key, certificate)], authority, require_client_auth=authority is not None
    )
