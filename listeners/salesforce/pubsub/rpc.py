"""The gRPC calls of a stream, on one channel and with one token."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, TypeVar

import grpc
from grpc import aio

from listeners.salesforce.errors import (
    AnswerTooLarge,
    Reaction,
    SalesforceError,
    StreamClosed,
    StreamRefused,
    TransportFailed,
)
from listeners.salesforce.http.answer_limits import MESSAGE, shown
from listeners.salesforce.pubsub.endpoint import metadata_of
from listeners.salesforce.pubsub.grpc_channel import ConnectionPlan
from listeners.salesforce.pubsub.proxy_tunnel import Tunnel
from listeners.salesforce.pubsub.rpc_errors import CallFailed, failure_of
from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire
from listeners.salesforce.tokens.tokens import Token

_T = TypeVar("_T")

_SERVICE = "/eventbus.v1.PubSub"
_STREAMS: dict[str, tuple[Any, Any]] = {
    "Subscribe": (wire.FetchRequest, wire.FetchResponse),
    "ManagedSubscribe": (wire.ManagedFetchRequest, wire.ManagedFetchResponse),
}
#: The error for a message that gRPC cannot decode, for which it returns None.
UNREADABLE = "the answer cannot be decoded"


class Calls:
    """The calls of a stream. ``timeout`` is the seconds for a unary call, including connecting."""

    def __init__(self, plan: ConnectionPlan, token: Token, timeout: float) -> None:
        """Raises ``StreamRefused`` with CONFIGURATION if the token cannot be sent."""
        self._plan = plan
        self._metadata = metadata_of(token)
        self._secret = token.access_token
        self.org_id = dict(self._metadata)["tenantid"]
        self._timeout = timeout
        self._channel: aio.Channel | None = None
        self._tunnel: Tunnel | None = None

    async def open(self) -> None:
        """Create the channel, which connects with the first call."""
        self._tunnel = self._plan.tunnel(self._timeout)
        target = f"unix:{await self._tunnel.start()}" if self._tunnel else await self._target()
        self._channel = self._plan.channel(target)

    async def _target(self) -> str:
        address = self._plan.endpoint.address
        try:
            async with asyncio.timeout(self._timeout):
                return await self._plan.target()
        except TimeoutError:
            why = f"the host name of {address} was not resolved within {self._timeout:g} s"
            raise TransportFailed(why) from None
        except (socket.gaierror, UnicodeError):
            raise TransportFailed(f"the host name of {address} cannot be resolved") from None

    async def close(self) -> None:
        """Close the channel, and release gRPC's objects: while any exist, its thread runs."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
        if self._tunnel is not None:
            await self._tunnel.close()

    async def check_topic(self, topic: str) -> None:
        """Raise an error if GetTopic is refused, or says that the user may not subscribe.

        A server that does not implement GetTopic is accepted.
        """
        try:
            info = await self._get_topic(topic)
        except CallFailed as failed:
            if failed.status is grpc.StatusCode.UNIMPLEMENTED:
                return
            raise self.error(failed) from None
        # Salesforce sets all fields. If these are missing, can_subscribe is unknown too, and the
        # subscription itself will show whether it is allowed.
        is_whole = info.tenant_guid or info.rpc_id or info.can_publish
        if is_whole and not info.can_subscribe:
            why = f"the login user may not subscribe to {topic}."
            raise StreamRefused("GetTopic", why, Reaction.CONFIGURATION, code="can_subscribe")

    async def is_answered(self, topic: str) -> bool:
        """Return whether the server answers a small call on the same connection, even refusing."""
        try:
            await self._get_topic(topic)
        except CallFailed as failed:
            return failed.is_answer
        return True

    async def schema(self, schema_id: str) -> str | CallFailed:
        """Return the schema's JSON text, or the failure if there is no such schema.

        Raises an error for any other failure.
        """
        request = wire.SchemaRequest(schema_id=schema_id)
        try:
            answer = await self._call("GetSchema", request, wire.SchemaInfo)
        except CallFailed as failed:
            if failed.is_unknown_schema:
                return failed.with_traceback(None)
            raise self.error(failed) from None
        return answer.schema_json

    def stream(self, method: str) -> Any:
        """Start the bidirectional streaming call of that name."""
        request, answer = _STREAMS[method]
        call = self._open_channel().stream_stream(
            f"{_SERVICE}/{method}", request.SerializeToString, answer.FromString
        )
        return call(metadata=self._metadata)

    def failure(
        self, method: str, error: aio.AioRpcError, *, has_worked: bool = False
    ) -> SalesforceError:
        return self.error(failure_of(method, error, self._secret), has_worked=has_worked)

    def error(self, failure: CallFailed, *, has_worked: bool = False) -> SalesforceError:
        """Return the error for a failure; the tunnel's, which is more precise, if it has one."""
        if failure.is_too_large:
            host = self._plan.endpoint.address
            over = f"more than {shown(MESSAGE.size)}, the limit for {MESSAGE.kind}"
            return AnswerTooLarge(f"{host} answered {failure.method} with {over}")
        if self._tunnel is not None and self._tunnel.trouble and not failure.is_answer:
            return self._tunnel.trouble
        return failure.error(has_worked=has_worked)

    def _open_channel(self) -> aio.Channel:
        if self._channel is None:
            raise StreamClosed
        return self._channel

    async def _get_topic(self, topic: str) -> wire.TopicInfo:
        return await self._call("GetTopic", wire.TopicRequest(topic_name=topic), wire.TopicInfo)

    async def _call(self, method: str, request: Any, answer_type: type[_T]) -> _T:
        """Send the request of a unary call, and return its answer. Raises ``CallFailed``."""
        types: Any = answer_type
        call = self._open_channel().unary_unary(
            f"{_SERVICE}/{method}", type(request).SerializeToString, types.FromString
        )
        try:
            answer: _T | None = await call(request, metadata=self._metadata, timeout=self._timeout)
        except aio.AioRpcError as error:
            failure = failure_of(method, error, self._secret)
            if failure.status is grpc.StatusCode.DEADLINE_EXCEEDED and not failure.code:
                failure.details = f"no answer within {self._timeout:g} s"
        else:
            if answer is not None:
                return answer
            failure = CallFailed(method, grpc.StatusCode.INTERNAL, "", UNREADABLE)
        try:
            raise failure
        finally:
            del failure  # its traceback would keep the channel until garbage collection
