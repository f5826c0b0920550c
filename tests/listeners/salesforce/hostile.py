"""A server whose answers are small on the wire and large when decompressed."""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

MIB = 1024 * 1024


def packed(piece: bytes, size: int, start: bytes = b"", end: bytes = b"") -> bytes:
    """Return the gzip of `start`, of `piece` repeated up to about `size` bytes, and of `end`."""
    packer = zlib.compressobj(9, wbits=31)
    block = piece * (MIB // len(piece))
    parts = [packer.compress(start)]
    parts += [packer.compress(block) for _ in range(size // len(block))]
    return b"".join([*parts, packer.compress(end), packer.flush()])


def twice(body: bytes) -> bytes:
    return gzip.compress(body)


class HostileServer:
    """Answers every request with `body`, declared as having that `encoding`."""

    def __init__(
        self, body: bytes, encoding: str = "gzip", *, status: int = 200, chunked: bool = False
    ) -> None:
        self.body, self.encoding, self.status, self.chunked = body, encoding, status, chunked
        self.more_headers: dict[str, str] = {}
        #: The headers of each request.
        self.headers: list[dict[str, str]] = []
        #: How many bytes of bodies were taken, and whether the peer went away.
        self.sent = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def pieces(self) -> Iterator[bytes]:
        for at in range(0, len(self.body), 65_536):
            yield self.body[at : at + 65_536]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(hostile: HostileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def do_GET(self) -> None:
            hostile.headers.append(dict(self.headers))
            self.send_response(hostile.status)
            self.send_header("Content-Type", "application/json")
            if hostile.encoding:
                self.send_header("Content-Encoding", hostile.encoding)
            self.send_header("Connection", "close")
            for name, value in hostile.more_headers.items():
                self.send_header(name, value)
            if hostile.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(len(hostile.body)))
            self.end_headers()
            with suppress(OSError):
                for piece in hostile.pieces():
                    self.wfile.write(
                        b"%x\r\n%b\r\n" % (len(piece), piece) if hostile.chunked else piece
                    )
                    hostile.sent += len(piece)
                if hostile.chunked:
                    self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            pass

    return Handler
