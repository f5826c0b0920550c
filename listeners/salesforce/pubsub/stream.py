"""An event stream of the Pub/Sub API, with one subscription at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from datetime import datetime

from listeners.salesforce.errors import Reaction, SalesforceError, StreamClosed, StreamRefused
from listeners.salesforce.http.session import HttpConfig
from listeners.salesforce.protocol import EventStream, Messages, StreamOptions
from listeners.salesforce.pubsub.endpoint import endpoint_of
from listeners.salesforce.pubsub.event_loop import LOOP
from listeners.salesforce.pubsub.fetch_requests import ManagedSubscribe, Subscribe
from listeners.salesforce.pubsub.grpc_channel import connection_plan
from listeners.salesforce.pubsub.rpc import Calls
from listeners.salesforce.pubsub.schema_source import SchemaSource
from listeners.salesforce.pubsub.schemas import Schema
from listeners.salesforce.pubsub.subscription import Subscription
from listeners.salesforce.pubsub.to_cometd import message_of
from listeners.salesforce.pubsub.wire.pubsub_api_pb2 import ConsumerEvent
from listeners.salesforce.replay_ids import text_of
from listeners.salesforce.tokens.tokens import Token, Tokens

MOST_A_POLL = 500  # messages
#: The least size in bytes that is counted for an event: its Avro payload is smaller than the JSON
#: that it becomes, which the limits on memory are made for.
_LEAST_SIZE = 1024


@dataclass(frozen=True, slots=True)
class _Current:
    token: Token
    subscription: Subscription
    schemas: SchemaSource


class PubSubStream(EventStream):
    """A subscription over the Pub/Sub API.

    Events are read ahead of the polls, on a thread that all streams of a process share. With a
    managed subscription Salesforce stores the position, and ``open`` ignores its argument. A
    refusal that arrives late is raised by the first poll instead of ``open``.
    """

    has_replay = True  # every subscription of the Pub/Sub API supports it

    def __init__(
        self,
        tokens: Tokens,
        channel: str,
        options: StreamOptions | None = None,
        *,
        endpoint: str,
        http_config: HttpConfig | None = None,
        managed_subscription: str = "",
    ) -> None:
        """``endpoint`` is host:port or a URL; ``managed_subscription`` is a developer name."""
        super().__init__(tokens, channel, options)
        self._endpoint = endpoint
        self._config = http_config or HttpConfig()
        self._managed = managed_subscription
        self._guard = threading.Lock()  # protects _current; never held while waiting
        self._current: _Current | None = None
        self._requests: Subscribe | None = None  # of the current or last subscription
        self._refused_tokens = 0  # since the last received message

    @property
    def is_open(self) -> bool:
        current = self._current
        return current is not None and not current.subscription.inbox.has_failed

    @property
    def has_result_ready(self) -> bool:
        current = self._current
        return current is not None and current.subscription.inbox.has_result_ready

    @property
    def has_committed(self) -> bool:
        requests = self._requests
        return requests is not None and requests.has_committed

    @property
    def server_time(self) -> datetime | None:
        """Salesforce's time when the stream started, to the second, if it sent it."""
        current = self._current
        return current.subscription.server_time if current else None

    def poll(self) -> Messages:
        """Return the next messages.

        A second refusal of a token without a message in between raises BACK_OFF_LONG instead of
        NEW_TOKEN.
        """
        current = self._current
        if self._closed.is_set():
            raise StreamClosed
        if current is None:
            why = "the stream is not open"
            raise StreamRefused("polling", why, Reaction.REHANDSHAKE, code="closed")
        try:
            events, latest = current.subscription.inbox.take(MOST_A_POLL)
            self.newest = text_of(latest) if latest else None
            payloads = sum(len(event.event.payload) for event in events)
            self.polled_bytes = max(payloads, _LEAST_SIZE * len(events))
            self.admit(self.polled_bytes)
            messages = self._messages(current, events)
            self._refused_tokens = 0
            return messages
        except StreamClosed:
            raise  # after leave(); close() ends the subscription later
        except BaseException as failure:
            self._hang_up()
            if isinstance(failure, StreamRefused) and failure.reaction is Reaction.NEW_TOKEN:
                self._tokens.invalidate(current.token)
                self._refused_tokens += 1
                if self._refused_tokens > 1:
                    raise failure.of_new_token() from None
            raise

    def recorded(self, replay_id: str) -> None:
        if current := self._current:
            current.subscription.record(replay_id)

    def forget(self) -> None:
        self._hang_up()

    def leave(self) -> None:
        current = self._current
        if current is not None and current.subscription.is_open:
            current.subscription.inbox.leave()
        else:
            self.close()

    def close(self) -> None:
        """End the stream, and wait for the answer to a last commit, for at most a second."""
        self._closed.set()
        self._hang_up()

    # Inside

    def _subscribe(self, token: Token, replay: str) -> None:
        self._hang_up()
        requests = (
            ManagedSubscribe(self._managed) if self._managed else Subscribe(self._channel, replay)
        )
        plan = connection_plan(endpoint_of(self._endpoint), self._config)
        calls = Calls(plan, token, self._options.connection_timeout)
        subscription = Subscription(calls, requests, self._channel, self._options)
        with self._guard:
            if self._closed.is_set():
                raise StreamClosed
            self._current = _Current(token, subscription, SchemaSource(calls))
            self._requests = requests
        try:
            LOOP.submit(subscription.open()).result()
        except CancelledError:
            self._hang_up()
            raise StreamClosed from None
        except BaseException:
            self._hang_up()
            raise

    def _hang_up(self) -> None:
        """End the current subscription, if another thread has not done so."""
        with self._guard:
            current, self._current = self._current, None
        if current is not None:
            current.subscription.inbox.close()
            LOOP.submit(current.subscription.end()).result()

    def _messages(self, current: _Current, events: Sequence[ConsumerEvent]) -> Messages:
        """Return the messages of the events, up to the first whose schema cannot be read now.

        That failure is raised by the next poll, or by this one if there is no message before it.
        Salesforce sends the remaining events again after the stream is reopened.
        """
        messages: Messages = []
        schema: Schema | None = None
        for event in events:
            try:
                if schema is None or schema.id != event.event.schema_id:
                    schema = current.schemas.get(event.event.schema_id)
            except SalesforceError as failure:
                if not messages:
                    raise
                current.subscription.inbox.fail_at_once(failure)
                break
            messages.append(message_of(self._channel, event, schema))
        return messages
