"""A TCP relay in front of a server, whose connections can be cut."""

from __future__ import annotations

import asyncio
import threading
import time


class Relay:
    """Passes bytes between clients of `port` and a local port."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._closed_until = 0.0
        self._open: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self, seconds: float) -> None:
        """Reset every connection, and each new one for `seconds`."""
        self._loop.call_soon_threadsafe(self._cut, seconds)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _serve(self) -> asyncio.Server:
        return await self._loop.create_server(lambda: _Caller(self), "127.0.0.1", 0)

    async def _end(self) -> None:
        self._server.close()
        while self._open:
            self._cut(0)
            await asyncio.sleep(0.01)

    def _cut(self, seconds: float) -> None:
        self._closed_until = time.monotonic() + seconds
        for transport in list(self._open):
            transport.abort()

    @property
    def is_closed(self) -> bool:
        return time.monotonic() < self._closed_until

    def hold(self, transport: asyncio.Transport) -> None:
        self._open.add(transport)

    def forget(self, transport: asyncio.Transport) -> None:
        self._open.discard(transport)

    async def connect(self, end: _End) -> None:
        await self._loop.create_connection(lambda: end, "127.0.0.1", self._target)

    def begin(self, caller: _Caller) -> None:
        """Connect a caller with the server; both connections are closed if that fails."""
        task = self._loop.create_task(self.connect(caller.partner))
        task.add_done_callback(caller.connected)


class _End(asyncio.Protocol):
    """One side of a relayed connection: what it receives, the other side sends."""

    transport: asyncio.Transport
    partner: _End

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._relay.hold(transport)

    def data_received(self, data: bytes) -> None:
        self.partner.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._relay.forget(self.transport)
        if hasattr(self.partner, "transport"):
            self.partner.transport.close()

    def pause_writing(self) -> None:
        self.partner.transport.pause_reading()

    def resume_writing(self) -> None:
        self.partner.transport.resume_reading()


class _Caller(_End):
    """The side that connected to the relay; it waits until the server is connected too."""

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay)
        self.partner = _End(relay)
        self.partner.partner = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._relay.is_closed:
            self.transport.abort()
            return
        self.transport.pause_reading()
        self._relay.begin(self)

    def connected(self, task: asyncio.Task[None]) -> None:
        if task.exception() is not None or self.transport.is_closing():
            self.transport.abort()
            if task.exception() is None:
                self.partner.transport.abort()
            return
        self.transport.resume_reading()
