"""Metrics of forked processes: those of a worker's pool, or gunicorn's workers.

This is prometheus-client's multiprocess mode: each process counts in files of its own, and a scrape
adds up all files of the folder. The mode needs a new folder at each start. It never deletes files,
which are named after process ids, so that a pool that replaces its processes would fill the disk.
Here the files are named after places in the pool, and a new process continues the file of the
process that it replaces.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

import django
import structlog
from billiard.process import current_process
from django.conf import settings
from prometheus_client import CollectorRegistry, start_http_server, values
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from cdcproject.version import __version__

log = structlog.get_logger(__name__)

BUILD_INFO = "cdc_build_info"
BUILD_LABELS = ("version", "python", "django")
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PREFIX = "cdc-metrics-"
#: A file system in memory.
_MEMORY = Path("/dev", "shm")
#: The places in the pool, by process id.
_places: dict[int, str] = {}


class Folder:
    """A folder that is locked while its process or one of the forked processes lives."""

    def __init__(self, parent: Path) -> None:
        _delete_abandoned(parent)
        # Hidden from other processes until it is locked.
        made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=parent))
        self._lock = _locked(made / "held")
        self.path = parent / made.name.removeprefix(".")
        made.rename(self.path)

    def remove(self) -> None:
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)


@cache
def share() -> Folder:
    """Share metrics between this process and its forks. Call it before any metric is used."""
    folder = Folder(_MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir()))
    os.environ[VARIABLE] = str(folder.path)
    values.ValueClass = values.MultiProcessValue(_identifier)  # in case it is already imported
    return folder


def count_as(place: int) -> None:
    """Name the files of this process after its place in the pool, unique among living processes."""
    _places[os.getpid()] = f"place{place}"


def _identifier() -> int | str:
    process = os.getpid()
    return _places.get(process, process)


def is_shared() -> bool:
    return VARIABLE in os.environ


class Shared:
    """A Prometheus collector of the metrics of all processes."""

    def collect(self) -> Iterable[Metric]:
        files = Path(os.environ[VARIABLE]).glob("*.db")
        # A file is empty, and unreadable, for a moment after its creation.
        found: Iterable[Metric] = MultiProcessCollector.merge(
            [str(file) for file in files if file.stat().st_size]
        )
        return found


class BuildInfo:
    """A Prometheus collector of a gauge that is 1, with the versions of this process as labels.

    It shows the progress of an upgrade.
    """

    def collect(self) -> Iterable[Metric]:
        help_text = "Always 1; the labels are the versions."
        family = GaugeMetricFamily(BUILD_INFO, help_text, labels=BUILD_LABELS)
        family.add_metric((__version__, platform.python_version(), django.get_version()), 1)
        return [family]


class WorkerMetrics:
    """Serves /metrics in the main process of a worker, for all processes of its pool.

    It does nothing without CDC_WORKER_METRICS_PORT.
    """

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


def _locked(path: Path) -> IO[bytes]:
    """Open and lock a file until all processes have closed it. Raises BlockingIOError."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def _delete_abandoned(parent: Path) -> None:
    """Delete the folders that killed processes left behind."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError), _locked(folder / "held"):
            shutil.rmtree(folder, ignore_errors=True)
