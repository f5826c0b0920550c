import socket
import threading

import pytest


class Door:
    """A port on loopback that counts connections, and answers nothing."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.came = 0
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._server.accept()
            except OSError:
                return
            self.came += 1
            one.close()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()


@pytest.fixture
def door():
    opened = Door()
    yield opened
    opened.close()


@pytest.fixture
def names(monkeypatch):
    """Answers of a name server: for each name a list of answers in turn, the last one repeated."""
    told: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def answer(host, port, *args, **kwargs):
        if host not in told:
            return real(host, port, *args, **kwargs)
        found = told[host].pop(0) if len(told[host]) > 1 else told[host][0]
        families = {True: socket.AF_INET6, False: socket.AF_INET}
        return [
            (families[":" in one], socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (one, port))
            for one in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return told
