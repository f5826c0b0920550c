"""POST requests to addresses that users entered observe the egress policy."""

import asyncio

import pytest

from listeners.egress import post
from listeners.salesforce.errors import DestinationRefused
from listeners.salesforce.http.allowlist import parsed
from tests.settings_on_the_wire.loop_server import LoopServer


class Busy(LoopServer):
    """An HTTP server or a proxy that answers everything with 503."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        head = b"HTTP/1.1 503 Slow down\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
        writer.write(head)
        await writer.drain()


def test_it_returns_the_status_the_reason_and_the_pause():
    with Busy() as server:
        url = f"http://127.0.0.1:{server.port}/"
        posted = post(url, b"{}", {}, seconds=10, within=parsed(["127.0.0.1"]))

    assert (posted.status_code, posted.reason) == (503, "Slow down")
    assert posted.headers["Retry-After"] == "7"


def test_a_proxy_of_the_environment_is_trusted_wherever_it_is(monkeypatch):
    with Busy() as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        posted = post("http://hooks.example/x", b"{}", {}, seconds=10, within=parsed(["*.example"]))

    assert posted.status_code == 503
    assert proxy.requests[0].startswith(b"POST http://hooks.example/x ")


def test_an_address_inside_is_refused_without_a_request():
    with Busy() as server, pytest.raises(DestinationRefused):
        post(f"http://127.0.0.1:{server.port}/", b"{}", {}, seconds=10, within=parsed([]))

    assert not server.requests
