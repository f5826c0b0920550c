"""Share metrics with forked processes: a worker's pool, or gunicorn's workers.

This is prometheus-client's multiprocess mode: each process counts in files of its own, and a scrape
adds up all files of the folder. The mode needs a new folder at each start. It never deletes files,
which are named after process ids, so that a pool that replaces its processes would fill the disk.
Here the files are named after places in the pool, and a new process continues the file of the
process that it replaces.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

from prometheus_client import values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

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
