"""A local tunnel for what gRPC lacks: https proxies, proxy errors, and TLS without verification.

gRPC connects to a Unix socket in a folder that only this user can enter, and the tunnel forwards
the data over its own connection.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from listeners.salesforce.errors import (
    Reaction,
    SalesforceError,
    StreamRefused,
    TransportFailed,
)
from listeners.salesforce.http.allowlist import Destinations
from listeners.salesforce.http.egress_guard import resolved
from listeners.salesforce.http.session import Proxy
from listeners.salesforce.pubsub.endpoint import Endpoint

_CHUNK = 256 * 1024
_LONGEST_HEAD = 64 * 1024  # bytes of a proxy's answer

Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _NotConnected(Exception):
    """The connection failed; ``Tunnel.trouble`` has the reason."""


@dataclass(eq=False, repr=False)
class Tunnel:
    """Forwards each connection to its socket to the endpoint. Runs on the event loop."""

    endpoint: Endpoint
    proxy: Proxy | None
    proxy_tls: ssl.SSLContext | None  # for an https proxy
    tls: ssl.SSLContext | None  # for the endpoint, unless gRPC handles it
    timeout: float  # seconds for connecting in total
    destinations: Destinations

    def __post_init__(self) -> None:
        #: Why the last connection failed; without secrets.
        self.trouble: SalesforceError | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self) -> str:
        """Start listening, and return the path of the socket."""
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="pubsub-")
            path = str(Path(self._folder.name, "socket"))
            self._server = await asyncio.start_unix_server(self._accept, path)
        except OSError as error:
            why = f"cannot create a socket in a temporary folder ({error.strerror or error})"
            remedy = "set TMPDIR to a writable folder with a short path."
            raise StreamRefused("connecting", remedy, Reaction.RETRY, code=why) from None
        return path

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task, writer in list(self._open.items()):
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*self._open, return_exceptions=True)
        if self._folder is not None:
            self._folder.cleanup()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passing = asyncio.create_task(self._pass_on((reader, writer)))
        self._open[passing] = writer
        with suppress(OSError, asyncio.CancelledError, _NotConnected):
            await passing
        del self._open[passing]
        writer.transport.abort()

    async def _pass_on(self, near: Pipe) -> None:
        far = await self._connected()
        try:
            await _until_one_ends(_copy(near[0], far[1]), _copy(far[0], near[1]))
        finally:
            far[1].transport.abort()

    async def _connected(self) -> Pipe:
        address = self.endpoint.address
        self.trouble = None
        trouble: SalesforceError
        try:
            async with asyncio.timeout(self.timeout):
                return await self._connect()
        except TimeoutError:
            trouble = TransportFailed(f"no connection to {address} within {self.timeout:g} s")
        except ssl.SSLError as error:
            why = f"no TLS connection to {address}: {error.reason}"
            trouble = TransportFailed(why)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            proxy = "the proxy to " if self.proxy else ""
            why = f"{proxy}{address} cannot be reached ({type(error).__name__})"
            trouble = TransportFailed(why)
        except SalesforceError as refusal:
            trouble = refusal.with_traceback(None)  # the frames contain the proxy's password
        self.trouble = trouble
        raise _NotConnected

    async def _connect(self) -> Pipe:
        proxy = self.proxy
        host, port = (proxy.host, proxy.port) if proxy else (self.endpoint.host, self.endpoint.port)
        reader, writer = await self._open_connection(host.strip("[]"), port)
        try:
            if proxy is not None:
                await self._ask(proxy, reader, writer)
                if self.tls is not None:
                    await writer.start_tls(self.tls, server_hostname=self.endpoint.host)
        except BaseException:
            writer.transport.abort()
            raise
        return reader, writer

    async def _open_connection(self, host: str, port: int) -> Pipe:
        """Connect to the first allowed address that accepts the connection."""
        tls = self.proxy_tls if self.proxy else self.tls
        addresses = [host]
        if not self.destinations.is_anywhere:
            addresses = await resolved(self.destinations, host, port)
        failure: OSError = OSError("the host has no address")
        for address in addresses:
            try:
                return await asyncio.open_connection(
                    address,
                    port,
                    ssl=tls,
                    server_hostname=host if tls else None,
                    limit=_LONGEST_HEAD,
                )
            except ssl.SSLError:
                raise
            except OSError as error:
                failure = error
        raise failure

    async def _ask(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        address = self.endpoint.address
        lines = [f"CONNECT {address} HTTP/1.1", f"Host: {address}"]
        if proxy.username:
            login = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {login}")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        status = head.split(b" ", 2)[1][:3].decode("latin-1") if head.count(b" ") else "?"
        if status.startswith("2"):
            return
        if status == "407":
            why = "check the proxy's user name and password."
            raise StreamRefused(
                "CONNECT", why, Reaction.CONFIGURATION, code="HTTP 407 from the proxy"
            )
        raise TransportFailed(
            f"the proxy to {address} answered HTTP {status}",
            status=int(status) if status.isdecimal() else None,
        )


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()


async def _until_one_ends(*copying: Coroutine[None, None, None]) -> None:
    tasks = [asyncio.create_task(direction) for direction in copying]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
