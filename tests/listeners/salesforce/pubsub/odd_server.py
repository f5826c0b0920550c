"""A server that speaks HTTP/2 and misbehaves below gRPC."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived

from tests.settings_on_the_wire.loop_server import LoopServer

UNIMPLEMENTED = "12"
Misbehaviour = Callable[[H2Connection, int], None]


def of_http(status: int) -> Misbehaviour:
    """Return what answers as a web server does, with this status."""

    def answer(wire: H2Connection, stream: int) -> None:
        wire.send_headers(stream, [(":status", str(status))], end_stream=True)

    return answer


class OddServer(LoopServer):
    """Answers GetTopic as unimplemented, misbehaves on each stream as given, and then hangs up if
    `hangs_up`.

    It misbehaves when the first message has come.
    """

    def __init__(
        self,
        misbehave: Misbehaviour,
        *,
        hangs_up: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(tls)
        self.headers: list[dict[str, str]] = []
        self._misbehave = misbehave
        self._hangs_up = hangs_up

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        wire.initiate_connection()
        writer.write(wire.data_to_send())
        subscriptions: set[int] = set()
        while data := await reader.read(65_536):
            for event in wire.receive_data(data):
                if isinstance(event, RequestReceived):
                    if not self._answered(wire, event):
                        subscriptions.add(event.stream_id or 0)
                elif isinstance(event, DataReceived) and event.stream_id in subscriptions:
                    subscriptions.remove(event.stream_id)
                    self._misbehave(wire, event.stream_id)
                    writer.write(wire.data_to_send())
                    if self._hangs_up:
                        return
            writer.write(wire.data_to_send())
            await writer.drain()

    def _answered(self, wire: H2Connection, event: RequestReceived) -> bool:
        """Answer a request for a topic, and return whether it was one."""
        headers = {str(name): str(value) for name, value in event.headers or ()}
        self.headers.append(headers)
        if not headers[":path"].endswith("GetTopic"):
            return False
        told = [
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", UNIMPLEMENTED),
        ]
        wire.send_headers(event.stream_id or 0, told, end_stream=True)
        return True
