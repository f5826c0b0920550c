"""A TCP relay that adds latency: every byte arrives so many seconds later, in each direction."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.services import ROOT


class _End(asyncio.Protocol):
    """Passes the bytes of one side to the other `delay` seconds later, in order, at any rate."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        for data in self._early:
            transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._loop.call_later(self._delay, self._pass_on, data)

    def _pass_on(self, data: bytes) -> None:
        if self.other is not None:
            self.other.say(data)

    def say(self, data: bytes) -> None:
        if self.transport is None:
            self._early.append(data)
        else:
            self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._loop.call_later(self._delay, self._hang_up)

    def _hang_up(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


@contextmanager
def relayed(endpoint: str, round_trip: float) -> Iterator[str]:
    """Yield the address of a relay to the endpoint. The relay is a process of its own, so that it
    shares no interpreter lock."""
    port = endpoint.rpartition(":")[2]
    command = [sys.executable, "-m", "benchmarks.relay", port, str(round_trip / 2)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


async def relay(target: int, delay: float) -> asyncio.Server:
    """Serve on a free port of 127.0.0.1, and relay to the local port `target`."""
    loop = asyncio.get_running_loop()
    ways: set[asyncio.Task[object]] = set()

    def caller() -> _End:
        near, far = _End(delay), _End(delay)
        near.other, far.other = far, near
        way = loop.create_task(loop.create_connection(lambda: far, "127.0.0.1", target))
        ways.add(way)
        way.add_done_callback(ways.discard)
        return near

    return await loop.create_server(caller, "127.0.0.1", 0)


async def _serve(target: int, delay: float) -> None:
    server = await relay(target, delay)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
