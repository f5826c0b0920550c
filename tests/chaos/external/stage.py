"""The servers and processes of a run: the product with its database, broker and org, and another
project with its own broker, results and workers."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from cryptography.fernet import Fernet

from tests.chaos.brokers import Broker, RabbitMQ, Valkey
from tests.chaos.external.environments import python_with
from tests.chaos.mirror.database import Database
from tests.chaos.services import ROOT, Init, Service, wait_until_logged
from tests.servers import PostgresServer
from tests.simulator.process import SimulatorProcess

START_SECONDS = 300.0
STOP_SECONDS = 60.0
TASK = "shop.sync_account"
#: The queues in the other project's broker: its tasks, and the reports of their ends.
QUEUE = "shop"
QUEUES = (QUEUE, "cdc.reports")
DEAF = "restart workers that take no task"
KILL, KILL_LISTENER = "kill a worker", "kill a listener"
FLUSH, RESTART = "flush the broker", "restart the broker"
PROJECT = Path(__file__).parent / "project" / "shop.py"
_CONFIGURATION = """\
connections:
  - name: org
    auth: client_credentials
    base_url: {url}
    client_id: {client_id}
    client_secret: {client_secret}
destinations:
  - {{name: shop, broker: {broker}{results}}}
listeners:
  - name: org
    connection: org
    channel: /data/ChangeEvents
    replay_from: earliest
    handlers:
      - {{on: update, entity: Account, task: {task}, queue: {queue}, destination: shop,
         ordering: per_record, report_timeout: {report_timeout}, on_unknown: retry,
         max_attempts: 50}}
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The variant of a run: versions and servers, the number of changes, and the faults."""

    seed: int
    celery: str
    broker: str
    has_results: bool
    changes: int
    records: int
    kills: int
    flushes: int
    restarts: int
    listener_kills: int
    report_timeout: int
    database: str
    workers: int
    patience: float
    is_kept: bool

    def __str__(self) -> str:
        results = "with" if self.has_results else "without"
        return f"Celery {self.celery} on {self.broker}, {results} a result backend"


class Stage:
    """Starts servers and processes in a folder, and stops them. `org` already holds the changes."""

    def __init__(self, folder: Path, wanted: Wanted, org: SimulatorProcess) -> None:
        self.folder = folder
        self.wanted = wanted
        self.org = org
        self.effects = folder / "effects.jsonl"
        self.python = python_with(wanted.celery)
        self.listeners: list[Service] = []
        self.workers: list[Service] = []
        self.init = Init()
        self._own_broker = Valkey(folder / "own")
        self._results = Valkey(folder / "results")
        kind = RabbitMQ if wanted.broker == "rabbitmq" else Valkey
        self.broker: Broker = kind(folder / "shop-broker")

    def __enter__(self) -> Self:
        with ExitStack() as ending:
            self._start(ending)
            self._ending = ending.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ending.close()

    def _start(self, ending: ExitStack) -> None:
        self.effects.touch()
        servers = [self._own_broker, self.broker]
        for server in [*servers, *([self._results] if self.wanted.has_results else [])]:
            server.start()
            ending.callback(server.kill)
        self.environment = {**os.environ, **self._environment(self._start_database(ending))}
        self.manage("migrate", "--verbosity", "0")
        ending.callback(self.stop_services)
        # The mapping is checked against the tasks that they have registered.
        self._start_workers()
        self._configure()
        count = 2 if self.wanted.listener_kills else 1
        self.listeners = [self._listener(f"listener{number + 1}") for number in range(count)]
        self.init.start()

    def _start_database(self, ending: ExitStack) -> str:
        if self.wanted.database == "sqlite":
            path = self.folder / "cdc.sqlite3"
            self.database = Database(path)
            return f"sqlite:///{path}"
        server = PostgresServer(self.folder / "postgres")
        server.start()
        ending.callback(server.stop)
        self.database = Database(server.url)
        return server.url

    def _environment(self, database_url: str) -> dict[str, str]:
        return {
            "DATABASE_URL": database_url,
            "CELERY_BROKER_URL": self._own_broker.url,
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "SECRET_KEY": secrets.token_urlsafe(40),
            "CDC_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "VAR_DIR": str(self.folder / "var"),
            "LOG_LEVEL": "INFO",
        }

    def _start_workers(self) -> None:
        project = self.folder / "project"
        project.mkdir()
        shutil.copy(PROJECT, project)
        self.workers = [self._worker(number, project) for number in range(self.wanted.workers)]
        wait_until_logged(self.workers, "ready.", START_SECONDS)

    def _worker(self, number: int, project: Path) -> Service:
        """Start a worker as that project's team does, without the product's environment."""
        environment = {
            "SHOP_BROKER": self.broker.url,
            "EFFECTS": str(self.effects),
            "CELERY_BROKER_URL": self.broker.url,
            "DJANGO_SETTINGS_MODULE": "",
        }
        if self.wanted.has_results:
            environment["SHOP_RESULTS"] = self._results.url
        arguments = ("-m", "celery", "-A", "shop", "worker", "-l", "INFO", "-c", "1")
        name = f"shop{number + 1}"
        service = Service(
            name,
            [*arguments, "-n", f"{name}@%h"],
            environment,
            self.folder / f"{name}.log",
            python=self.python,
            folder=project,
        )
        self.init.services.append(service)
        return service

    def _listener(self, name: str) -> Service:
        arguments = ("manage.py", "run_cdc_listener")
        service = Service(name, arguments, self.environment, self.folder / f"{name}.log")
        self.init.services.append(service)
        return service

    def _configure(self) -> None:
        known = {key: self.org.credentials[key] for key in ("client_id", "client_secret")}
        results = f", result_backend: {self._results.url}" if self.wanted.has_results else ""
        path = self.folder / "cdc.yaml"
        path.write_text(
            _CONFIGURATION.format(
                url=self.org.url,
                broker=self.broker.url,
                results=results,
                task=TASK,
                queue=QUEUE,
                report_timeout=self.wanted.report_timeout,
                **known,
            )
        )
        self.manage("apply_cdc_config", str(path))

    def manage(self, *arguments: str) -> str:
        return self.run("manage.py", *arguments)

    def run(self, *arguments: str) -> str:
        """Run a program of the product to its end and return what it wrote."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)} failed: {done.stdout}{done.stderr}")
        return done.stdout

    @property
    def services(self) -> list[Service]:
        return [*self.listeners, *self.workers]

    def stop_services(self) -> list[str]:
        """Stop the services as an operator does; return the listeners' exit codes other than 0."""
        self.init.stop()
        codes = [service.stop(STOP_SECONDS) for service in self.listeners]
        for service in self.workers:
            service.stop(STOP_SECONDS)
        self.listeners.clear()
        self.workers.clear()
        return [str(code) for code in codes if code]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was injected: from `at` until `until`, seconds since 1970; `pids` were
    killed."""

    kind: str
    at: float
    until: float
    pids: frozenset[int] = frozenset()


def kill(service: Service) -> frozenset[int]:
    """SIGKILL for all of its processes, stopped first so that none notices the others' end."""
    processes = service.tree()
    for process in processes:
        _quietly(process.suspend)
    for process in processes:
        _quietly(process.kill)
    return frozenset(process.pid for process in processes)


def _quietly(do: Any) -> None:
    with suppress(psutil.NoSuchProcess):
        do()


class FaultLog:
    """The run's own log of faults, which is also written to a file."""

    def __init__(self, path: Path) -> None:
        self.faults: list[Fault] = []
        self._path = path

    def add(self, kind: str, began: float, pids: frozenset[int] = frozenset()) -> None:
        fault = Fault(kind, began, time.time(), pids)
        self.faults.append(fault)
        line = {"kind": kind, "at": fault.at, "until": fault.until, "pids": sorted(pids)}
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
