"""A request without an answer reports whether it may have been sent, since a login may then have
worked."""

from __future__ import annotations

import asyncio

import pytest

from listeners.salesforce.errors import TransportFailed
from listeners.salesforce.http.answer_limits import RECORDS
from listeners.salesforce.http.request import NoAuth, exchange
from tests.listeners.salesforce.scripted import plain_http
from tests.servers import free_port
from tests.settings_on_the_wire.loop_server import LoopServer


class Closer(LoopServer):
    """Reads the request, and closes the connection."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)
        writer.close()


class Answerer(LoopServer):
    """Answers every request with something other than HTTP."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)
        writer.write(b"no HTTP\r\n\r\n")
        await writer.drain()
        writer.close()


class Undecodable(LoopServer):
    """Declares its answer as compressed, which it is not."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")
        await writer.drain()


class Silent(LoopServer):
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)
        await asyncio.sleep(60)


def ask(url: str, proxy: str = "", seconds: float = 60) -> TransportFailed:
    with plain_http() as http:
        http.proxies = {"https": proxy, "http": proxy} if proxy else {}
        answer = exchange(http, "GET", url, auth=NoAuth(), timeout=(5.0, seconds), limit=RECORDS)
    assert isinstance(answer, TransportFailed)
    return answer


@pytest.mark.parametrize(
    ("address", "why"),
    [("no-such-host.invalid", "cannot be resolved"), ("127.0.0.1", "cannot be reached")],
)
def test_a_request_without_a_connection_was_not_sent(address: str, why: str) -> None:
    answer = ask(f"http://{address}:{free_port()}/")

    assert not answer.was_sent
    assert why in answer.why


@pytest.mark.parametrize(
    ("server", "scheme", "why"),
    [
        (Closer, "http", "closed the connection before the answer was complete"),
        (Answerer, "http", "closed the connection before the answer was complete"),
        (Answerer, "https", "no trusted TLS connection"),
        (Silent, "http", "sent nothing for 0.3 s"),
        (Undecodable, "http", "failed (DecodeError)"),
    ],
)
def test_a_request_over_an_open_connection_may_have_been_sent(
    server: type[LoopServer], scheme: str, why: str
) -> None:
    with server() as there:
        seconds = 0.3 if server is Silent else 60
        answer = ask(f"{scheme}://127.0.0.1:{there.port}/", seconds=seconds)

    assert answer.was_sent
    assert why in answer.why


class FailingProxy(LoopServer):
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        await writer.drain()
        writer.close()


def test_a_request_by_way_of_a_proxy_that_fails_may_have_been_sent() -> None:
    with FailingProxy() as proxy:
        answer = ask("https://example.invalid/", f"http://127.0.0.1:{proxy.port}")

    assert answer.was_sent
    assert answer.why == "the proxy to example.invalid failed"
