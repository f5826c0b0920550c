"""The servers and processes of a run: database, broker, simulated org and the product."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.fernet import Fernet

from tests.chaos.brokers import Valkey
from tests.chaos.interleave import COPY
from tests.chaos.services import ROOT, Service, wait_until_logged
from tests.servers import PostgresServer
from tests.simulator.process import SimulatorProcess

START_SECONDS = 300.0
STOP_SECONDS = 60.0
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
    handlers:
"""
_MAPPING = """\
      - {{on: {on}, entity: Account, handler: {handler}, ordering: {ordering}, on_dead: {on_dead},
         max_attempts: 2}}
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """The variant of a run: database, mapping options and number of workers."""

    database: str
    ordering: str
    on_dead: str
    workers: int


class Stage:
    def __init__(self, folder: Path, setting: Setting) -> None:
        self.folder = folder
        self.setting = setting
        self.org = SimulatorProcess("--connect-timeout", "20", "--seed", "1")
        self._broker = Valkey(folder)
        self._services: list[Service] = []

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
        if self.setting.database == "postgres":
            server = PostgresServer(self.folder / "postgres")
            server.start()
            ending.callback(server.stop)
            url = server.url
        else:
            url = f"sqlite:///{self.folder / 'cdc.sqlite3'}"
        self._broker.start()
        ending.callback(self._broker.kill)
        self.org.start()
        ending.callback(self.org.close)
        os.environ |= self._environment(url)
        self._manage("migrate", "--verbosity", "0")
        self._configure()
        ending.callback(self._stop)

    def start_services(self) -> None:
        """Start the listener and the workers, after the migration."""
        listener = self._service("listener", "manage.py", "run_cdc_listener")
        workers = [
            self._service(
                f"worker{number}",
                *("-m", "celery", "-A", "cdcproject", "worker", "-l", "INFO", "-c", "1"),
                *("--without-mingle", "--without-gossip", "-Q", "cdc,special"),
                *("-n", f"worker{number}@%h"),
            )
            for number in range(1, self.setting.workers + 1)
        ]
        self._services = [listener, *workers]
        wait_until_logged(workers, "ready.", START_SECONDS)

    def _environment(self, database_url: str) -> dict[str, str]:
        return {
            "DATABASE_URL": database_url,
            "CELERY_BROKER_URL": self._broker.url,
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "CDC_HANDLER_MODULES": "tests.chaos.interleave.copying",
            "SECRET_KEY": secrets.token_urlsafe(40),
            "CDC_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "VAR_DIR": str(self.folder / "var"),
            "LOG_LEVEL": "INFO",
        }

    def _configure(self) -> None:
        known = {key: self.org.credentials[key] for key in ("client_id", "client_secret")}
        text = _CONFIGURATION.format(url=f"http://localhost:{self.org.port}", **known)
        for on in ("create", "update", "delete", "restore"):
            text += _MAPPING.format(
                on=on,
                handler=COPY,
                ordering=self.setting.ordering,
                on_dead=self.setting.on_dead,
            )
        path = self.folder / "cdc.yaml"
        path.write_text(text)
        self._manage("apply_cdc_config", str(path))

    def _manage(self, *arguments: str) -> None:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"manage.py {arguments[0]} failed: {done.stdout}{done.stderr}")

    def _service(self, name: str, *arguments: str) -> Service:
        return Service(name, arguments, {}, self.folder / f"{name}.log")

    def _stop(self) -> None:
        for service in self._services:
            service.stop(STOP_SECONDS)
