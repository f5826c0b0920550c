"""One set of counters for a process and all that it forks: a worker's pool, gunicorn's processes.

Each process counts in files of its own, in a folder of the first one's (the multiprocess mode of
prometheus-client); whoever is asked reads them all. What a process has counted that has gone is
added to one file and its own are deleted: a pool whose children are replaced all the time has no
more files than children. A folder whose processes have all gone is deleted by the next that begins.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO

from prometheus_client import values
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PREFIX = "cdc-metrics-"
#: In the place of a process's id, for those that have gone.
GONE = 0
#: Where nobody tidies up, and nothing is written to a disk.
_MEMORY = Path("/dev", "shm")
_ADDED_UP = ("counter", "histogram", "summary")


class Folder:
    """Held by whoever made it and by what that forks, for as long as one of them is there."""

    def __init__(self, parent: Path) -> None:
        _tidy(parent)
        # Not to be found by others before it is held.
        made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=parent))
        self._held = _lock(made / "held", fcntl.LOCK_EX)
        self.path = parent / made.name.removeprefix(".")
        made.rename(self.path)

    def remove(self) -> None:
        self._held.close()
        shutil.rmtree(self.path, ignore_errors=True)


@cache
def share() -> Folder:
    """From now on this process and those that it forks count together. Before any label is counted.

    Once a process, however often it is asked.
    """
    folder = Folder(_MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir()))
    os.environ[VARIABLE] = str(folder.path)
    values.ValueClass = values.MultiProcessValue()  # where it was loaded before
    return folder


def is_shared() -> bool:
    return VARIABLE in os.environ


class Shared:
    """Collects what all of them have counted."""

    def collect(self) -> Iterable[Metric]:
        folder = Path(os.environ[VARIABLE])
        with _alone(folder):
            _bury(folder)
            return list(MultiProcessCollector.merge(_files(folder)))


def tidy_up() -> None:
    """For a process that was forked just now: those before it leave nothing behind that grows, also
    where nobody collects. Not when somebody does just now, who does the same; where the folder is
    gone, whoever counts says so."""
    folder = Path(os.environ[VARIABLE])
    with suppress(OSError), _alone(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
        _bury(folder)


def _files(folder: Path) -> list[str]:
    """One that was made just now is empty, and cannot be read."""
    return [str(file) for file in folder.glob("*.db") if file.stat().st_size]


def _bury(folder: Path) -> None:
    """Add up what the processes counted that have gone."""
    gone = [file for file in folder.glob("*_*.db") if not _is_there(_process_of(file))]
    for kind in _ADDED_UP:
        files = [file for file in gone if file.name.startswith(f"{kind}_")]
        if files:
            _add_up(kind, files, folder)
    for file in gone:
        file.unlink()


def _add_up(kind: str, files: list[Path], folder: Path) -> None:
    kept, fresh = folder / f"{kind}_{GONE}.db", folder / f"{kind}.new"
    fresh.unlink(missing_ok=True)
    sources = [str(file) for file in (kept, *files) if file.exists() and file.stat().st_size]
    into = MmapedDict(str(fresh))
    for metric in MultiProcessCollector.merge(sources, accumulate=False):
        for sample in metric.samples:
            names, told = list(sample.labels), list(sample.labels.values())
            key = mmap_key(metric.name, sample.name, names, told, metric.documentation)
            into.write_value(key, sample.value, 0.0)
    into.close()
    fresh.replace(kept)


def _process_of(file: Path) -> int:
    return int(file.stem.rpartition("_")[2])


def _is_there(process: int) -> bool:
    if process == GONE:
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextmanager
def _alone(folder: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Nobody else reads or adds up meanwhile: what was moved would be counted twice, or not. A
    process that was forked meanwhile does not hold it on. Raises OSError."""
    with _lock(folder / "reading", how) as held:
        try:
            yield
        finally:
            fcntl.flock(held, fcntl.LOCK_UN)


def _lock(path: Path, how: int) -> IO[bytes]:
    """Released when it is closed, by whoever has it after a fork too. Raises BlockingIOError."""
    file = path.open("ab")
    try:
        fcntl.flock(file, how)
    except OSError:
        file.close()
        raise
    return file


def _tidy(parent: Path) -> None:
    """What was left behind by those that were killed."""
    for left in parent.glob(f"{PREFIX}*"):
        with suppress(OSError), _lock(left / "held", fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(left, ignore_errors=True)
