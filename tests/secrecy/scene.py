"""Runs the product's processes with full logging, and searches all that they leave behind."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import redis
from django.db import connection

from tests.processes import Process, Processes, same_database
from tests.secrecy import places
from tests.secrecy.planted import Planted

HANDLERS = "tests.sample_handlers,tests.secrecy.handlers"


class Scene:
    """Processes on this test's database that log everything, for a console and as JSON."""

    def __init__(
        self, processes: Processes, planted: Planted, folder: Path, **environment: str
    ) -> None:
        self._processes = processes
        self._planted = planted
        self._var = folder / "var"
        self._var.mkdir()
        self._json_log = self._var / "log.json"
        self._started: dict[str, Process] = {}
        self._seen: dict[str, str] = {}
        self.environment = {
            "LOG_LEVEL": "DEBUG",
            "LOG_FORMAT": "console",
            "CDC_TEST_JSON_LOG": str(self._json_log),
            "VAR_DIR": str(self._var),
            "CDC_HANDLER_MODULES": HANDLERS,
            **_with_password(planted),
            **environment,
        }

    def start(self, name: str, *arguments: str) -> Process:
        return self._keep(name, self._processes.start(*arguments, **self.environment))

    def worker(self) -> Process:
        """Start a worker with beat."""
        worker = self.start(
            "worker", "-m", "celery", "-A", "cdcproject", "worker", "-l", "DEBUG", "-c", "2",
            "--beat", "--without-mingle", "--without-gossip", "-Q", "cdc,special",
        )  # fmt: skip
        worker.wait_for_output("ready.")
        return worker

    def commands(self, *commands: list[str]) -> str:
        """Run management commands in one process, and return their output."""
        asked = ("-m", "tests.secrecy.commands", json.dumps(commands))
        process = self._processes.born(*asked, **self.environment)
        process.wait(500)  # an ended process has no command line to search
        return self._keep(f"commands {len(self._started)}", process).output

    def _keep(self, name: str, process: Process) -> Process:
        self._started[name] = process
        return process

    def logged_as_json(self) -> list[dict[str, Any]]:
        """Return the log lines of all processes, without one that is being written."""
        whole, _, _ = self._json_log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def look(self, store: redis.Redis) -> None:
        """Keep Redis's present content and the processes' present command lines for the search."""
        for place, text in {**places.of_redis(store), **self.of_processes()}.items():
            self._seen[place] = self._seen.get(place, "") + text

    def leaks(self, *more: dict[str, str]) -> list[str]:
        """Return the leaks in all places, in what was kept, and in `more`."""
        everywhere = [self._seen, self.of_processes(), places.of_the_database()]
        everywhere += [places.of_files(folder) for folder in (self._var, _folder_of_tests())]
        found = [self._planted.leaks(seen) for seen in (*everywhere, *more)]
        return sorted({leak for leaks in found for leak in leaks})

    def of_processes(self) -> dict[str, str]:
        """Return the processes' outputs and command lines."""
        found: dict[str, str] = {}
        for name, process in self._started.items():
            found |= places.of_process(name, process)
        return found


def _with_password(planted: Planted) -> dict[str, str]:
    """Return PostgreSQL's URL with a password, which its test server does not check."""
    if connection.vendor == "sqlite":
        return {}
    address = same_database()["DATABASE_URL"]
    password = planted.plain("password of DATABASE_URL")
    return {"DATABASE_URL": address.replace("postgres@", f"postgres:{password}@", 1)}


def _folder_of_tests() -> Path:
    """Return the folder that holds SQLite's file."""
    return Path(os.environ["CDC_TEST_FOLDER"])
