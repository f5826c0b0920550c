"""An HTTP proxy that records the requests that pass through it."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.settings_on_the_wire.loop_server import LoopServer, hang_up

Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_REFUSED = (
    b"HTTP/1.1 407 Proxy Authentication Required\r\n"
    b'Proxy-Authenticate: Basic realm="proxy"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
)
_FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass(frozen=True)
class Passed:
    """A request as the proxy received it."""

    method: str
    target: str
    credentials: str = ""

    @property
    def host(self) -> str:
        """The host and port to which the request goes."""
        return self.target if self.method == "CONNECT" else urlsplit(self.target).netloc


class CountingProxy(LoopServer):
    """Takes absolute requests and CONNECT, one on each connection.

    `login` (`user:password`) is demanded of clients; with `forbids` every request is refused; `tls`
    is the context for clients. `incoming` holds the clients' addresses, `outgoing` those that
    origins see as their peers.
    """

    def __init__(
        self,
        *,
        login: str = "",
        forbids: bool = False,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(tls, host)
        self.passed: list[Passed] = []
        self.incoming: list[str] = []
        self.outgoing: set[str] = set()
        self._login = login
        self._forbids = forbids

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def hosts(self) -> set[str]:
        """The hosts to which requests went."""
        return {passed.host for passed in self.passed}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        passed = _read(head)
        self.passed.append(passed)
        self.incoming.append(_address(writer, "peername"))
        if passed.credentials != self._login:
            writer.write(_REFUSED)
        elif self._forbids:
            writer.write(_FORBIDDEN)
        else:
            await self._relay(passed, head, (reader, writer))
        await writer.drain()

    async def _relay(self, passed: Passed, head: bytes, client: Pipe) -> None:
        parts = urlsplit(f"//{passed.host}")
        origin = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            self.outgoing.add(_address(origin[1], "sockname"))
            if passed.method == "CONNECT":
                client[1].write(_ESTABLISHED)
            else:
                origin[1].write(_for_origin(passed, head))
            await _until_one_ends(_copied(client[0], origin[1]), _copied(origin[0], client[1]))
        finally:
            await hang_up(origin[1])


def _address(writer: asyncio.StreamWriter, end: str) -> str:
    host, port, *_ = writer.get_extra_info(end)
    return f"{host}:{port}"


def _read(head: bytes) -> Passed:
    method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
    scheme, _, encoded = _header(head, "proxy-authorization").partition(" ")
    credentials = base64.b64decode(encoded).decode() if scheme.lower() == "basic" else ""
    return Passed(method, target, credentials)


def _header(head: bytes, wanted: str) -> str:
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.strip().lower() == wanted:
            return value.strip()
    return ""


def _for_origin(passed: Passed, head: bytes) -> bytes:
    """Return the head in the form for an origin: with a path, and as the last request of its
    connection."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    parts = urlsplit(passed.target)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    version = first.rpartition(" ")[2]
    own = ("proxy-authorization", "proxy-connection", "connection")
    kept = [line for line in lines if line.partition(":")[0].strip().lower() not in own]
    told = [f"{passed.method} {path} {version}", *kept, "Connection: close", "", ""]
    return "\r\n".join(told).encode("latin-1")


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


async def _until_one_ends(*copying: Coroutine[None, None, None]) -> None:
    """Run both copies until one ends, then cancel the other."""
    tasks = [asyncio.create_task(one) for one in copying]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
