"""A running subscription on the event loop, independent of when the stream is polled.

reader ── responses ──▶ inbox        writer ── credits, commits ──▶ server
watch: silence ── does the server answer? ── no ──▶ ends the subscription
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from grpc import aio

from listeners.salesforce.errors import (
    PositionDeleted,
    Reaction,
    SalesforceError,
    StreamClosed,
    StreamRefused,
    TransportFailed,
)
from listeners.salesforce.protocol import StreamOptions
from listeners.salesforce.pubsub.fetch_requests import MAX_CREDITS, Credits, Subscribe
from listeners.salesforce.pubsub.inbox import FULL, OVERFULL, Inbox
from listeners.salesforce.pubsub.rpc import UNREADABLE, Calls

#: Salesforce sends a message at least this often, while it has credits.
HOLD_SECONDS = 270.0
# How long opening waits for the first message: twice as long as the steps before it took.
_SHORTEST_WAIT, _LONGEST_WAIT = 0.1, 1.0
_PARTING_SECONDS = 1.0
_GRACE = 0.02  # seconds: the headers of a refusal arrive a moment before it


class Subscription:
    """Created on any thread, and used on the event loop, except for ``inbox`` and ``record``."""

    def __init__(
        self, calls: Calls, requests: Subscribe, channel: str, options: StreamOptions
    ) -> None:
        self.server_time: datetime | None = None
        self.inbox = Inbox(self._has_room)
        self.calls = calls
        self._requests = requests
        self._channel = channel
        self._options = options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()  # a request may be due
        self._room = asyncio.Event()  # the inbox has room for the next response
        self._response_or_end = asyncio.Event()  # a response arrived, or the call ended
        self._began = asyncio.Event()  # the server has accepted or refused the call
        self._call: Any = None
        self._credits = Credits(0.0)
        self._heard_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[Any] | None = None
        self._is_ended = False
        self.is_open = False

    async def open(self) -> None:
        """Start the subscription.

        Raises any ``SalesforceError``; one that arrives later goes to the inbox.
        """
        if self._is_ended:
            raise StreamClosed
        self._loop = asyncio.get_running_loop()
        self._opening = asyncio.current_task()
        try:
            await self._open(self._loop.time())
        finally:
            self._opening = None
        self.is_open = True
        self.inbox.raise_failure()

    async def _open(self, began: float) -> None:
        await self.calls.open()
        await self.calls.check_topic(self._channel)
        self._credits = Credits(self._now())
        self._heard_at = self._now()
        self._call = self.calls.stream(self._requests.method)
        self._task = asyncio.create_task(self._run())
        timeout = min(_LONGEST_WAIT, max(_SHORTEST_WAIT, 2 * (self._now() - began)))
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._began.wait()

    async def end(self) -> None:
        """Wait briefly for outstanding commits, then end the call and close the channel."""
        self._is_ended = True
        self.inbox.close()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        if self._task is not None and not self._task.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(_PARTING_SECONDS):
                    await self._until_committed()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        # A reference to the call would keep the connection open.
        self._call = self._task = None
        await self.calls.close()

    def record(self, replay_id: str) -> None:
        """Note that all events up to this one are durable, from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._record, replay_id)

    def _record(self, replay_id: str) -> None:
        with suppress(SalesforceError):  # a position that has no Pub/Sub form
            self._requests.record(replay_id)
            self._changed.set()

    def _has_room(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._resume)

    def _resume(self) -> None:
        self._room.set()
        self._changed.set()

    async def _run(self) -> None:
        """Run reader, writer and watch until one of them ends with the error of the stream."""
        parts = [asyncio.create_task(part) for part in (self._read(), self._write(), self._watch())]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            ended = done.pop()
            failure = ended.exception() or ended.result()
            if isinstance(failure, PositionDeleted):
                self._requests.position_deleted()
            self.inbox.fail(failure)
            self._began.set()
        finally:
            for part in parts:
                part.cancel()
            self._call.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            self._call = None
            self._response_or_end.set()

    async def _read(self) -> SalesforceError:
        has_worked = False
        try:
            self._note_headers(await self._call.initial_metadata())
            # Not ``read()``, which drops received messages once the call has ended.
            async for response in self._call:
                self._received(response)
                has_worked = True
                await self._until_there_is_room()
        except aio.AioRpcError as error:
            return self.calls.failure(self._requests.method, error, has_worked=has_worked)
        except StreamRefused as refusal:
            return refusal
        why = "the server ended the stream"
        return StreamRefused(self._requests.method, why, Reaction.REHANDSHAKE, code="OK")

    def _note_headers(self, headers: aio.Metadata) -> None:
        with suppress(ValueError, TypeError, KeyError):
            date = parsedate_to_datetime(str(headers["date"]))
            self.server_time = date if date.tzinfo else date.replace(tzinfo=UTC)
        asyncio.get_running_loop().call_later(_GRACE, self._began.set)

    def _received(self, response: Any) -> None:
        if response is None:
            raise StreamRefused(
                self._requests.method, UNREADABLE, Reaction.REHANDSHAKE, code="INTERNAL"
            )
        self._heard_at = self._now()
        self._credits.received(len(response.events), response.pending_num_requested, self._heard_at)
        if self._requests.has_events_or_keep_alive(response):
            # Without open credits the server may hold back events up to the latest replay id that
            # it reports: then the position must not move to that id.
            pending = response.pending_num_requested
            is_certain = self._credits.has_open_credits(pending, self._heard_at)
            self.inbox.put(response.events, response.latest_replay_id if is_certain else b"")
        self._changed.set()
        self._response_or_end.set()
        self._requests.answered(response)

    async def _until_there_is_room(self) -> None:
        while self.inbox.fullness >= OVERFULL:
            self._room.clear()
            await self._room.wait()
            self._heard_at = self._now()

    async def _write(self) -> SalesforceError:
        with suppress(aio.AioRpcError, aio.InternalError):  # the reader reports the error
            self._credits.asked(MAX_CREDITS, self._now())
            await self._send(self._requests.first(MAX_CREDITS))
            while True:
                self._changed.clear()
                if not await self._send_what_is_due():
                    await self._until_something_is_due()
        ended: asyncio.Future[SalesforceError] = asyncio.get_running_loop().create_future()
        return await ended

    async def _send_what_is_due(self) -> bool:
        now = self._now()
        credits = self._credits.due(now, is_full=self.inbox.fullness >= FULL)
        request = self._requests.next(credits, now)
        if request is None:
            return False
        if credits:
            self._credits.asked(credits, now)
        await self._send(request)
        return True

    async def _send(self, request: Any) -> None:
        """Send a request. If the call ends meanwhile, ``write`` replaces the server's status."""
        await self._call.wait_for_connection()
        await self._call._cython_call.send_serialized_message(request.SerializeToString())

    async def _until_something_is_due(self) -> None:
        now = self._now()
        waits = (
            self._credits.wait(now, is_full=self.inbox.fullness >= FULL),
            self._requests.wait(now),
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(
                min((wait for wait in waits if wait is not None), default=None)
            ):
                await self._changed.wait()

    async def _watch(self) -> SalesforceError:
        """Return an error when the stream is silent for too long or the server does not answer."""
        limit = min(HOLD_SECONDS + self._options.read_timeout, self._options.session_timeout)
        checked_at = self._heard_at
        while True:
            due = max(self._heard_at, checked_at) + self._options.keep_alive_interval
            await asyncio.sleep(min(due, self._heard_at + limit) - self._now())
            if self.inbox.fullness >= OVERFULL:  # silent because this side does not read
                self._heard_at = self._now()
            silent = self._now() - self._heard_at
            if silent >= limit:
                return TransportFailed(f"no message for {silent:.0f} s", is_silence=True)
            if self._now() >= max(self._heard_at, checked_at) + self._options.keep_alive_interval:
                checked_at = self._now()
                if not await self.calls.is_answered(self._channel) and self._heard_at < checked_at:
                    why = "the stream is silent and the server does not answer"
                    return TransportFailed(why, is_silence=True)

    async def _until_committed(self) -> None:
        while not (self._requests.is_settled or self._task is None or self._task.done()):
            self._response_or_end.clear()
            await self._response_or_end.wait()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
