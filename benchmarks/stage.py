"""The servers of an invocation, and what one run needs: a fresh database, a fresh broker, and the
product's own processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.databases import Database, Databases, PostgresDatabases, SQLiteDatabases
from benchmarks.handler_table import TABLE
from benchmarks.progress import wait_for
from tests.chaos.brokers import Broker, RabbitMQ, Valkey, missing_rabbitmq
from tests.chaos.services import ROOT, Service
from tests.servers import missing_postgres
from tests.simulator.process import SimulatorProcess

START_SECONDS = 60.0
STOP_SECONDS = 20.0
SCRIPT_SECONDS = 1800.0
#: The same each time: a database may stay.
_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
_WORKER = ("-m", "celery", "-A", "cdcproject", "worker", "-c", "1")
_QUIET = ("--without-mingle", "--without-gossip")


@dataclass(frozen=True, slots=True)
class Conditions:
    """The database and broker on which an invocation measures its figures."""

    database: str = "postgres"
    broker: str = "valkey"
    durable: bool = True
    #: Where the database server stays.
    folder: Path | None = None

    @property
    def is_production(self) -> bool:
        """Whether these are PostgreSQL and Valkey, which floor, peer and bare tasks require."""
        return (self.database, self.broker) == ("postgres", "valkey")

    def __str__(self) -> str:
        return f"{self.database}, {self.broker}"


@dataclass(slots=True)
class Run:
    """One run, with its servers and processes."""

    folder: Path
    database: Database
    broker: Broker
    environment: dict[str, str]
    #: Returns the CPU seconds that the database server has used.
    database_cpu: Callable[[], float]
    services: list[Service] = field(default_factory=list)

    def manage(self, *arguments: str) -> str:
        """Run a management command to its end, and return its output."""
        return self.python("manage.py", *arguments)

    def python(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SCRIPT_SECONDS,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)} failed: {done.stderr[-2000:]}")
        return done.stdout

    def listener(self, *arguments: str) -> Service:
        """Start a listener process that hosts the named listeners, or every enabled one."""
        return self._start("listener", ["manage.py", "run_cdc_listener", *arguments], "INFO")

    def workers(self, count: int) -> list[Service]:
        """Start Celery workers of one process each, and wait until they are up."""
        names = [f"worker{number}" for number in range(1, count + 1)]
        started = [
            self._start(name, [*_WORKER, *_QUIET, "-n", f"{name}@bench"], "WARNING")
            for name in names
        ]
        wait_for(lambda: self._workers_up() == count, START_SECONDS, "the workers' start")
        return started

    def web(self, port: int) -> Service:
        """Start the web server with one process for requests."""
        arguments = ["-m", "gunicorn", "cdcproject.wsgi", "--workers", "1"]
        return self._start("web", [*arguments, "--bind", f"127.0.0.1:{port}"], "WARNING")

    def _workers_up(self) -> int:
        return int(self.database.row("SELECT count(*) FROM handlers_worker")[0])

    def _start(self, name: str, arguments: Sequence[str], level: str) -> Service:
        environment = {**self.environment, "LOG_LEVEL": level}
        service = Service(name, arguments, environment, self.folder / f"{name}.log")
        self.services.append(service)
        return service

    def stop(self) -> None:
        for service in self.services:
            service.stop(STOP_SECONDS)
        self.services.clear()


class Stage:
    """Starts the servers in a temporary folder, and stops them."""

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions

    @contextmanager
    def open(self) -> Iterator[Stage]:
        self._refuse_missing()
        with ExitStack() as ending:
            kept = tempfile.TemporaryDirectory(prefix="cdc-bench-", ignore_cleanup_errors=True)
            self._folder = Path(ending.enter_context(kept))
            self._folder.chmod(0o755)
            self._environment = {
                "DJANGO_SETTINGS_MODULE": "cdcproject.settings",
                "CDC_HANDLER_MODULES": "benchmarks.handlers",
                "CDC_APPS": "benchmarks.mirrored",
                "SECRET_KEY": "only for benchmarks, which serve nobody",
                "CDC_ENCRYPTION_KEYS": _KEY,
                "VAR_DIR": str(self._folder / "var"),
                "LOG_FORMAT": "json",
            }
            self._databases = self._choose_databases()
            ending.callback(self._databases.stop)
            self._databases.start(self._migrate)
            self._count = 0
            yield self

    def _refuse_missing(self) -> None:
        chosen = self.conditions
        missing = missing_postgres() if chosen.database == "postgres" else ""
        missing = missing or (missing_rabbitmq() if chosen.broker == "rabbitmq" else "")
        if missing:
            raise RuntimeError(missing)

    def _choose_databases(self) -> Databases:
        if self.conditions.database == "sqlite":
            return SQLiteDatabases(self._folder)
        folder = self.conditions.folder or self._folder
        folder.mkdir(parents=True, exist_ok=True)
        return PostgresDatabases(folder, durable=self.conditions.durable)

    def full_database(self, entries: int) -> Database:
        """Return the kept database, filled with `entries` if it was empty; only on PostgreSQL."""
        if self.conditions.database != "postgres":
            raise RuntimeError("a full audit log is made on PostgreSQL only")
        database = self._databases.full()
        self._python(database.url, "-m", "benchmarks.fill", str(entries))
        return database

    def _migrate(self, url: str) -> None:
        self._python(url, "manage.py", "migrate", "--verbosity", "0")

    def _python(self, url: str, *arguments: str) -> None:
        environment = {**self._environment, "DATABASE_URL": url, "LOG_LEVEL": "WARNING"}
        subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            check=True,
            stdin=subprocess.DEVNULL,
        )

    def others(self) -> list[psutil.Process]:
        """Return all processes that were started so far but for the database server's."""
        servers = set(self._databases.pids())
        started = psutil.Process().children(recursive=True)
        return [process for process in started if process.pid not in servers]

    @contextmanager
    def on_cores(self, count: int) -> Iterator[None]:
        """Let all processes use `count` cores, also those that are started inside."""
        everything = os.sched_getaffinity(0)
        self._set_cores(set(sorted(everything)[:count]))
        try:
            yield
        finally:
            self._set_cores(everything)

    def _set_cores(self, cores: set[int]) -> None:
        os.sched_setaffinity(0, cores)  # new processes inherit it
        for pid in [*self._databases.pids(), *(process.pid for process in self.others())]:
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                for thread in psutil.Process(pid).threads():
                    os.sched_setaffinity(thread.id, cores)

    @contextmanager
    def run(self, **environment: str) -> Iterator[Run]:
        """Yield a run with a fresh database and broker; both are removed after it."""
        self._count += 1
        folder = self._folder / f"run{self._count}"
        folder.mkdir()
        with ExitStack() as ending:
            database = self._databases.fresh()
            ending.callback(database.close)
            database.run(TABLE)
            kind = RabbitMQ if self.conditions.broker == "rabbitmq" else Valkey
            broker: Broker = kind(folder / "broker")
            ending.callback(broker.kill)
            broker.start()
            told = {"DATABASE_URL": database.url, "CELERY_BROKER_URL": broker.url, **environment}
            told = {**self._environment, **told}
            run = Run(folder, database, broker, told, self._databases.cpu_seconds)
            ending.callback(run.stop)
            yield run


def configure(run: Run, org: SimulatorProcess, listeners: str, *, destination: str = "") -> None:
    """Apply a configuration file with the connection `bench` and `listeners`, given as YAML.

    `destination` is the URL of the broker of the destination `shop`.
    """
    known = {key: org.credentials[key] for key in ("client_id", "client_secret")}
    path = run.folder / "cdc.yaml"
    shop = f"destinations:\n  - {{name: shop, broker: {destination}}}\n" if destination else ""
    text = _CONNECTION.format(url=org.url, **known) + shop + "listeners:\n" + listeners
    path.write_text(text)
    run.manage("apply_cdc_config", str(path))


_CONNECTION = """\
connections:
  - name: bench
    auth: client_credentials
    base_url: {url}
    client_id: {client_id}
    client_secret: {client_secret}
"""


def listener_yaml(
    org: SimulatorProcess,
    transport: str,
    handler: str,
    *,
    name: str = "bench",
    replay_from: str = "earliest",
    endpoint: str = "",
) -> str:
    """Return the YAML of a listener whose creations and updates go to `handler`, if it is given.

    `handler` may also be `task: …` with further settings of a mapping. `endpoint` replaces the
    org's own endpoint of the Pub/Sub API.
    """
    endpoint = endpoint or org.grpc_endpoint
    lines = [f"  - name: {name}", "    connection: bench", "    channel: /data/ChangeEvents"]
    lines += [f"    transport: {transport}", f"    replay_from: {replay_from}"]
    if transport == "pubsub":
        lines.append(f"    pubsub_endpoint: {endpoint}")
    if handler:
        lines.append("    handlers:")
        what = handler if ": " in handler else f"handler: {handler}"
        lines += [f'      - {{on: {on}, entity: "*", {what}}}' for on in ("create", "update")]
    return "\n".join(lines) + "\n"
