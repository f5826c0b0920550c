"""A token endpoint that speaks only HTTP/2 over TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

from tests.settings_on_the_wire.loop_server import LoopServer
from tests.simulator.certificates import Authority, Pair

INSTANCE = "https://instance.example"


@dataclass
class Asked:
    """A request that was received over HTTP/2."""

    headers: dict[str, str]
    body: bytes = b""


class Http2Server(LoopServer):
    """Answers every request with a token; `client_ca` is the authority of the client certificates
    that it demands.

    While `is_silent` is set, it accepts requests and answers none.
    """

    def __init__(
        self, server: Pair, *, client_ca: Authority | None = None, is_silent: bool = False
    ) -> None:
        super().__init__(_context(server, client_ca))
        self.credentials = {"client_id": "the-client", "client_secret": "hush"}
        self.asked: list[Asked] = []
        self._is_silent = is_silent
        self.body = json.dumps({"access_token": "over-http-2", "instance_url": INSTANCE}).encode()
        self.encoding = "identity"

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        wire.initiate_connection()
        writer.write(wire.data_to_send())
        while data := await reader.read(65_536):
            for event in wire.receive_data(data):
                match event:
                    case RequestReceived(headers=headers):
                        self.asked.append(
                            Asked({str(name): str(value) for name, value in headers or ()})
                        )
                    case DataReceived(data=body):
                        self.asked[-1].body += bytes(body or b"")
                    case StreamEnded(stream_id=int() as stream) if not self._is_silent:
                        self._answer(wire, stream)
            writer.write(wire.data_to_send())
            await writer.drain()

    def _answer(self, wire: H2Connection, stream: int) -> None:
        headers = [
            (":status", "200"),
            ("content-type", "application/json"),
            ("content-encoding", self.encoding),
        ]
        wire.send_headers(stream, headers)
        size = wire.max_outbound_frame_size
        for at in range(0, len(self.body), size):
            wire.send_data(stream, self.body[at : at + size])
        wire.end_stream(stream)


def _context(server: Pair, client_ca: Authority | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server.cert, server.key)
    context.set_alpn_protocols(["h2"])
    if client_ca is not None:
        context.load_verify_locations(client_ca.cert)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
