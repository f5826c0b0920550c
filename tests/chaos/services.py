"""Processes that are restarted whenever they end, as an init system does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
RESTART_SECONDS = 0.2
#: How long nothing may move while the system recovers: a killed worker's claim on gap entries lasts
#: for 300 (`consumer.gaps.plan.CLAIM`).
PATIENCE_SECONDS = 330.0


class Service:
    """A process of the product or of another project; the output of all its restarts goes to
    `log`."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        python: str | Path = sys.executable,
        folder: Path = ROOT,
    ) -> None:
        self.name = name
        self.log = log
        self.restarts = -1
        self._command = [str(python), *arguments]
        self._folder = folder
        self._environment = {**os.environ, **environment}
        self._ours: set[psutil.Process] = set()
        self._start()

    def _start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.restarts += 1

    def keep(self) -> None:
        """Start it again if it has ended."""
        if self._process.poll() is not None:
            self._start()

    def tree(self) -> list[psutil.Process]:
        """Return the process and its children, parent first; empty while it does not run."""
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._process.pid)
            found = [parent, *parent.children(recursive=True)]
            self._ours.update(found)
            return found
        return []

    def stop(self, seconds: float) -> int:
        """Stop the process with SIGTERM, then with SIGKILL, and return its exit code.

        A process that was restarted just now gets the time to install its signal handler: without
        one, SIGTERM would kill it.
        """
        self.tree()
        by = time.monotonic() + seconds
        while self._process.poll() is None and not self._handles_stop() and time.monotonic() < by:
            time.sleep(0.05)
        if self._process.poll() is None:
            self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        for process in self._ours:
            tell(process, signal.SIGKILL)
        return self._process.wait()

    def _handles_stop(self) -> bool:
        """Return whether the process has a handler of SIGTERM; True where Linux does not say."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return True
        caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
        return caught is None or bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def tell(process: psutil.Process, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended, but not to a later one with its id."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


class Init(threading.Thread):
    """Restarts services that have ended."""

    def __init__(self) -> None:
        super().__init__(name="init", daemon=True)
        self.services: list[Service] = []
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(RESTART_SECONDS):
            for service in self.services:
                service.keep()

    def stop(self) -> None:
        self._ended.set()
        if self.is_alive():
            self.join()


def wait_until_logged(services: Sequence[Service], text: str, seconds: float) -> None:
    """Wait until each service has logged the text. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    for service in services:
        while text.encode() not in service.log.read_bytes():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{service.name} did not say {text!r}; see {service.log}")
            time.sleep(0.05)
