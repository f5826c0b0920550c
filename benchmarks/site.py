"""An org on the wire with a backlog, and the product's commands on a PostgreSQL of their own."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from cryptography.fernet import Fernet

from tests.servers import PostgresServer
from tests.simulator.process import SimulatorProcess

ROOT = Path(__file__).resolve().parent.parent
_MIX = {"create": 1, "update": 3}
_CONFIGURATION = """\
connections:
  - name: bench
    auth: client_credentials
    base_url: {url}
    client_id: {client_id}
    client_secret: {client_secret}
listeners:
  - name: {name}
    connection: bench
    channel: /data/ChangeEvents
    transport: pubsub
    pubsub_endpoint: {endpoint}
    replay_from: earliest
"""


@dataclass(frozen=True, slots=True)
class Site:
    folder: Path
    org: SimulatorProcess
    database: PostgresServer
    environment: dict[str, str]

    def configure(self, name: str, endpoint: str) -> None:
        """A listener of that name, from the first event on."""
        path = self.folder / f"{name}.yaml"
        known = {key: self.org.credentials[key] for key in ("client_id", "client_secret")}
        path.write_text(
            _CONFIGURATION.format(url=self.org.url, name=name, endpoint=endpoint, **known)
        )
        self.manage("apply_cdc_config", str(path))

    def manage(self, *arguments: str) -> None:
        with self.begin(*arguments) as process:
            said, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"manage.py {arguments[0]} failed: {said}")

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def connect(self) -> psycopg.Connection[tuple[int]]:
        return psycopg.connect(self.database.url, autocommit=True)


@contextmanager
def site(folder: Path, events: int) -> Iterator[Site]:
    """In an empty folder, with so many events of one change each."""
    with ExitStack() as ending:
        database = PostgresServer(folder / "postgres")
        database.start()
        ending.callback(database.stop)
        org = ending.enter_context(SimulatorProcess("--seed", "1", grpc=True))
        org.burst(events, mix=_MIX, quiet=True)
        environment = {
            "DATABASE_URL": database.url,
            "DJANGO_SETTINGS_MODULE": "cdcproject.settings",
            "SECRET_KEY": secrets.token_urlsafe(40),
            "CDC_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "VAR_DIR": str(folder / "var"),
            "LOG_LEVEL": "WARNING",
        }
        built = Site(folder, org, database, environment)
        built.manage("migrate", "--verbosity", "0")
        yield built


@contextmanager
def relayed(endpoint: str, round_trip: float) -> Iterator[str]:
    """The endpoint, so many seconds away. The relay is a process: it shares no lock with anyone."""
    port = endpoint.rpartition(":")[2]
    command = [sys.executable, "-m", "benchmarks.relay", port, str(round_trip / 2)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()
