"""The demo's processes: each in its own session with a log file, and stopped with the demo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

STOP_SECONDS = 15.0


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM. A subclass of KeyboardInterrupt, so that no library catches it."""


class ChildDied(Exception):
    """A process of the demo ended unexpectedly; the message has the end of its log."""


class Children:
    """Starts processes; `stop` ends all of them."""

    def __init__(self, folder: Path) -> None:
        self._logs = folder / "logs"
        self._logs.mkdir(exist_ok=True)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._is_interrupted = False

    def start(self, name: str, *arguments: str) -> None:
        """Start Python with these arguments."""
        with self.log_of(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches only the demo, which then stops its processes in order.
                start_new_session=True,
            )

    def log_of(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def interrupt(self, *_signal: object) -> None:
        """Raise Interrupted, as a signal handler. `check` raises it again, because Python drops
        exceptions raised in a finalizer."""
        self._is_interrupted = True
        raise Interrupted

    def check(self) -> None:
        """Raise ChildDied if a process has ended, or Interrupted."""
        if self._is_interrupted:
            raise Interrupted
        for name, process in self._running.items():
            if process.poll() is not None:
                tail = self.log_of(name).read_text(errors="replace").splitlines()[-20:]
                raise ChildDied(
                    f"the {name} ended with code {process.returncode}:\n  " + "\n  ".join(tail)
                )

    def stop(self) -> None:
        """Stop the processes, last started first. Kill those that do not end in time."""
        for process in reversed(self._running.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._running.clear()
