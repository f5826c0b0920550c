"""A request ends even if its answer trickles for ever, while a large answer may take long."""

from __future__ import annotations

import asyncio
import time
from itertools import chain, repeat
from types import SimpleNamespace

import pytest

from listeners.salesforce.errors import TransportFailed
from listeners.salesforce.http import request
from listeners.salesforce.http.answer_limits import RECORDS
from listeners.salesforce.http.request import Answer, NoAuth, exchange
from tests.listeners.salesforce.scripted import plain_http
from tests.settings_on_the_wire.loop_server import LoopServer

pytestmark = pytest.mark.slow

READ = 20.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Trickler(LoopServer):
    """Sends a header, and then a number of parts, one each 0.05 s."""

    def __init__(self, head: bytes, part: bytes, parts: int) -> None:
        super().__init__()
        self._head, self._part, self._parts = head, part, parts

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + self._head + b"\r\n")
        for _ in range(self._parts):
            writer.write(self._part)
            await writer.drain()
            await asyncio.sleep(0.05)


def ask(server: Trickler) -> Answer | TransportFailed:
    url = f"http://127.0.0.1:{server.port}/"
    with plain_http() as http:
        return exchange(http, "GET", url, auth=NoAuth(), timeout=(60.0, READ), limit=RECORDS)


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"Content-Length: 1000000\r\n", b" "),
        (b"Connection: close\r\n", b" "),
        (b"Transfer-Encoding: chunked\r\n", b"1\r\n \r\n"),
    ],
    ids=["of a known length", "until the end", "chunked"],
)
def test_blanks_keep_no_request_open(
    head: bytes, part: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurried = SimpleNamespace(monotonic=lambda: 20 * time.monotonic())
    monkeypatch.setattr(request, "time", hurried)  # the limit of 40 s is over after 2

    with Trickler(head, part, 10_000) as server:
        answer = ask(server)

    assert isinstance(answer, TransportFailed)
    assert (answer.was_sent, answer.is_silence) == (True, True)
    assert "too slow" in answer.why


def test_a_large_answer_may_take_as_long_as_its_size_demands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = chain([0.0], repeat(2 * READ + 0.01))  # any part read is later than twice the timeout
    monkeypatch.setattr(request, "time", SimpleNamespace(monotonic=times.__next__))
    part = b"x" * 64 * 1024
    with Trickler(b"Content-Length: %d\r\n" % (60 * len(part)), part, 60) as server:
        answer = ask(server)

    assert isinstance(answer, Answer)
    assert len(answer.body) == 60 * len(part)
