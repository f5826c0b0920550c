"""Count together with the processes that this one forks: a worker's pool, gunicorn's processes.

This is prometheus-client's multiprocess mode: each process counts in files of its own, and who is
asked for metrics adds up all files of the folder. That mode leaves two things to its user. The
folder has to be new at each start. And files named after process ids are never deleted, so a pool
that replaces its processes fills the disk: here they are named after places in the pool, and a
process goes on counting where the one before it in its place left off.
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
#: In memory: nothing is written to a disk.
_MEMORY = Path("/dev", "shm")
#: The places in the pool, by process id.
_places: dict[int, str] = {}


class Folder:
    """Locked by its process and by those that it forks, for as long as one of them lives."""

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
    """Let this process and those that it forks count together, before anything is counted."""
    folder = Folder(_MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir()))
    os.environ[VARIABLE] = str(folder.path)
    values.ValueClass = values.MultiProcessValue(_identifier)  # where it was loaded before
    return folder


def count_as(place: int) -> None:
    """Name this process's files after its place in the pool, which no other living process has."""
    _places[os.getpid()] = f"place{place}"


def _identifier() -> int | str:
    process = os.getpid()
    return _places.get(process, process)


def is_shared() -> bool:
    return VARIABLE in os.environ


class Shared:
    """Collects what all processes have counted."""

    def collect(self) -> Iterable[Metric]:
        files = Path(os.environ[VARIABLE]).glob("*.db")
        # A file is empty for a moment after its creation, and cannot be read then.
        found: Iterable[Metric] = MultiProcessCollector.merge(
            [str(file) for file in files if file.stat().st_size]
        )
        return found


def _locked(path: Path) -> IO[bytes]:
    """Closing it in all processes unlocks it. Raises BlockingIOError."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def _delete_abandoned(parent: Path) -> None:
    """Delete the folders that killed processes left behind."""
    for left in parent.glob(f"{PREFIX}*"):
        with suppress(OSError), _locked(left / "held"):
            shutil.rmtree(left, ignore_errors=True)
