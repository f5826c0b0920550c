"""A TCP proxy whose first connections break off after so many bytes of a client."""

import contextlib
import socket
import threading
from urllib.parse import urlsplit, urlunsplit


class CuttingProxy:
    """Forwards connections to the server of a URL; `limit` bytes of clients pass until it cuts
    them once. Without a limit nothing is cut."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = parts.hostname, parts.port
        self._server = socket.create_server(("127.0.0.1", 0))
        login = parts.netloc.rpartition("@")
        address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.url = urlunsplit(parts._replace(netloc=f"{''.join(login[:2])}{address}"))
        self.limit: int | None = None
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                try:
                    server = socket.create_connection(self._target)
                except OSError:
                    client.close()
                    continue
                self._ends += (client, server)
                for ends in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._forward, args=ends, daemon=True).start()

    def _forward(self, source: socket.socket, to: socket.socket, is_client: bool) -> None:
        with source, contextlib.suppress(OSError):
            while data := source.recv(4096):
                if is_client and self.limit is not None:
                    self.limit -= len(data)
                    if self.limit < 0:
                        self.limit = None
                        break
                to.sendall(data)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_RDWR)
