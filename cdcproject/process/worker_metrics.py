"""Serve /metrics in the main process of a worker, for all processes of its pool."""

from __future__ import annotations

import os
from typing import Any

import structlog
from billiard.process import current_process
from django.conf import settings
from prometheus_client import CollectorRegistry, start_http_server

from cdcproject.process.build_info import BuildInfo
from cdcproject.process.metrics import Folder, Shared, count_as, share

log = structlog.get_logger(__name__)


class WorkerMetrics:
    """The metrics server of a worker; it does nothing without CDC_WORKER_METRICS_PORT."""

    def __init__(self) -> None:
        self._folder: Folder | None = None
        self._server: Any = None
        self._process = 0

    def begin(self) -> None:
        """Serve the metrics, in the main process before it forks.

        When the port is in use, an error is logged and the worker continues.
        """
        port: int | None = settings.CDC_WORKER_METRICS_PORT
        if port is None:
            return
        self._folder, self._process = share(), os.getpid()
        registry = CollectorRegistry(support_collectors_without_names=True)
        registry.register(Shared())
        registry.register(BuildInfo())
        try:
            self._server, _ = start_http_server(port, registry=registry)
        except OSError as error:
            log.error(
                "worker metrics not served",
                reason=error.strerror,
                remedy=f"set CDC_WORKER_METRICS_PORT of this worker to a port other than {port}",
            )

    def leave(self) -> None:
        """Close the socket in a process of the pool, which would keep the port open."""
        if self._folder is None or os.getpid() == self._process:
            return
        if self._server is not None:
            self._server.socket.close()
        count_as(current_process().index)

    def end(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        if self._folder is not None:
            self._folder.remove()
        self._folder = self._server = None


worker_metrics = WorkerMetrics()
