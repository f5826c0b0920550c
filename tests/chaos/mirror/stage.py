"""The servers and processes of a run: database, broker, simulated org and the product."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography.fernet import Fernet

from simulator.org.catalogue import Catalogue
from simulator.org.seed import Seed
from tests.chaos.brokers import Valkey
from tests.chaos.mirror.copies import COPIES
from tests.chaos.mirror.database import Database
from tests.chaos.mirror.operator import Operator
from tests.chaos.mirror.org_users import OVERFLOW_AFTER
from tests.chaos.relay import Relay
from tests.chaos.services import ROOT, Init, Service, tell, wait_until_logged
from tests.servers import PostgresServer
from tests.simulator.process import SimulatorProcess

START_SECONDS = 300.0
STOP_SECONDS = 60.0
WORKERS = 2
_CONFIGURATION = """\
connections:
  - name: org
    auth: client_credentials
    base_url: {url}
    client_id: {client_id}
    client_secret: {client_secret}
listeners:
  - name: org
    connection: org
    channel: /data/ChangeEvents
    replay_from: earliest
"""


class Stage:
    """Starts all servers and processes in a folder, and stops them; `records` is the number of the
    org's first records."""

    def __init__(self, folder: Path, database: str, records: int, seed: int) -> None:
        self.folder = folder
        self.counts = {copy.entity: max(1, round(records * copy.share)) for copy in COPIES}
        self.listeners: list[Service] = []
        self.workers: list[Service] = []
        self.init = Init()
        self.broker = Valkey(folder)
        self.org = SimulatorProcess(
            *("--connect-timeout", "20", "--seed", str(seed)),
            *("--overflow-after", str(OVERFLOW_AFTER), "--bulk-job-seconds", "0.5"),
            *(part for name, count in self.counts.items() for part in _records(name, count)),
        )
        self._database = database
        self._seed = seed

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
        self.broker.start()
        ending.callback(self.broker.kill)
        self.org.start()
        ending.callback(self.org.close)
        self.org_relay = Relay(self.org.port)
        self.org_relay.start()
        ending.callback(self.org_relay.stop)
        self.environment = {**os.environ, **self._environment(self._start_database(ending))}
        self.manage("migrate", "--verbosity", "0")
        self._configure()
        ending.callback(self.stop_services)
        self.listeners = [self._service("listener", "manage.py", "run_cdc_listener")]
        self.workers = [self._worker(f"worker{n}") for n in range(1, WORKERS + 1)]
        wait_until_logged(self.workers, "ready.", START_SECONDS)
        self.init.start()
        self.operator, self.reader = Operator(self.environment), Operator(self.environment)
        ending.callback(self.operator.close)
        ending.callback(self.reader.close)

    def _start_database(self, ending: ExitStack) -> str:
        """Return the product's database URL; the run itself connects without the relay."""
        if self._database == "sqlite":
            path = self.folder / "cdc.sqlite3"
            self.database = Database(path)
            return f"sqlite:///{path}"
        server = PostgresServer(self.folder / "postgres")
        server.start()
        ending.callback(server.stop)
        self.database = Database(server.url)
        self.database_relay = Relay(server.port)
        self.database_relay.start()
        ending.callback(self.database_relay.stop)
        return f"postgres://postgres@127.0.0.1:{self.database_relay.port}/postgres"

    @property
    def is_sqlite(self) -> bool:
        return self._database == "sqlite"

    def _environment(self, database_url: str) -> dict[str, str]:
        return {
            "DATABASE_URL": database_url,
            "CELERY_BROKER_URL": self.broker.url,
            "DJANGO_SETTINGS_MODULE": "tests.chaos.mirror.settings",
            "CDC_APPS": "tests.mirror.crm",
            "SECRET_KEY": secrets.token_urlsafe(40),
            "CDC_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "VAR_DIR": str(self.folder / "var"),
            "LOG_LEVEL": "INFO",
        }

    def _configure(self) -> None:
        known = {key: self.org.credentials[key] for key in ("client_id", "client_secret")}
        path = self.folder / "cdc.yaml"
        url = f"http://localhost:{self.org_relay.port}"
        path.write_text(_CONFIGURATION.format(url=url, **known))
        self.manage("apply_cdc_config", str(path))

    def manage(self, *arguments: str, is_checked: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if is_checked and done.returncode:
            raise RuntimeError(f"manage.py {arguments[0]} failed: {done.stdout}{done.stderr}")
        return done

    def _worker(self, name: str) -> Service:
        return self._service(
            name,
            *("-m", "celery", "-A", "cdcproject", "worker", "-l", "INFO", "-c", "1"),
            *("--without-mingle", "--without-gossip", "-n", f"{name}@%h"),
        )

    def _service(self, name: str, *arguments: str) -> Service:
        service = Service(name, arguments, self.environment, self.folder / f"{name}.log")
        self.init.services.append(service)
        return service

    @property
    def services(self) -> list[Service]:
        return [*self.listeners, *self.workers]

    def record_id(self, entity: str, index: int) -> str:
        """Return the id of one of the org's first records."""
        return self._seeds[entity].record_id(index)

    @property
    def _seeds(self) -> dict[str, Seed]:
        if "_made" not in self.__dict__:
            catalogue = Catalogue()
            self._made = {
                name: Seed(catalogue.get(name), count, seed=self._seed, now=0, parents={})
                for name, count in self.counts.items()
            }
        return self._made

    def stop_services(self) -> list[str]:
        """Stop the services as an operator does, frozen ones included. Returns the exit codes that
        are not 0."""
        self.init.stop()
        for service in self.services:
            for process in service.tree():
                tell(process, signal.SIGCONT)
        codes = [service.stop(STOP_SECONDS) for service in self.listeners]
        for service in self.workers:
            service.stop(STOP_SECONDS)
        self.listeners.clear()
        self.workers.clear()
        return [str(code) for code in codes if code]


def _records(name: str, count: int) -> Any:
    return ("--records", f"{name}={count}")
