"""HTTP endpoints of the listener process: liveness, readiness (it receives) and metrics.

A standby process, whose listeners are received by other processes, is ready too. Otherwise an
orchestrator that replaces one process by another would wait forever for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from audit import internal_errors
from audit.internal_errors import step
from consumer.host.supervisor import Supervisor
from consumer.status import metrics_page
from listeners.threads import BackgroundThread

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    timeout = 0.5  # of a step without a request


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: probes come every few seconds."""


class Probes:
    """Serves /healthz/live, /healthz/ready and /metrics on a port (0: a free one)."""

    def __init__(self, supervisor: Supervisor, port: int) -> None:
        """Bind the port. Raises OSError when it is in use."""
        self._supervisor = supervisor
        self._server = make_server("", port, self._answer, _Server, _Quiet)
        self.port = self._server.server_port
        self._thread = BackgroundThread(
            step(
                "probes",
                self._server.handle_request,
                "Liveness, readiness and metrics are not served.",
            )
        )

    def __enter__(self) -> Probes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.stop()
        self._thread.join()
        self._server.server_close()

    def _answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        status, kind, body = self._page(environ.get("PATH_INFO", ""))
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    def _page(self, path: str) -> tuple[str, str, bytes]:
        match path.rstrip("/"):
            case "/healthz/live":
                return "200 OK", "application/json", b'{"status": "ok"}'
            case "/healthz/ready":
                return self._ready()
            case "/metrics":
                return "200 OK", metrics_page.CONTENT_TYPE, metrics_page.page()
            case _:
                return "404 Not Found", "text/plain", b"not found\n"

    def _ready(self) -> tuple[str, str, bytes]:
        stands_by = self._supervisor.is_standing_by()
        ready = stands_by or self._supervisor.is_receiving()
        answer = {
            "status": "ok" if ready else "unavailable",
            "listeners": self._supervisor.states(),
            "standing_by": stands_by,
            "failing": {failed.name: failed.consequence for failed in internal_errors.failing()},
        }
        return (
            "200 OK" if ready else "503 Service Unavailable",
            "application/json",
            json.dumps(answer).encode(),
        )
