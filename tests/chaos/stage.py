"""The servers and processes of a run: database, broker, simulated org and the product."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from cryptography.fernet import Fernet

from tests.chaos import handlers
from tests.chaos.brokers import Broker
from tests.chaos.relay import Relay
from tests.chaos.services import ROOT, Init, Service, tell, wait_until_logged
from tests.chaos.transports import COMETD, PUBSUB, transport_of
from tests.servers import PostgresServer
from tests.simulator.process import SimulatorProcess

_LISTENER = ["manage.py", "run_cdc_listener"]
_WORKER = [
    *("-m", "celery", "-A", "cdcproject", "worker", "-l", "INFO", "-c", "1"),
    *("--without-mingle", "--without-gossip"),
]
_ORG = ("--connect-timeout", "20", "--grpc-keep-alive", "20", "--seed", "1")
START_SECONDS = 300.0
STOP_SECONDS = 60.0
_CONNECTION = """\
  - name: {name}
    auth: client_credentials
    base_url: {url}
    client_id: {client_id}
    client_secret: {client_secret}
"""
_LISTENER_OF = """\
  - name: {name}
    connection: {name}
    channel: {channel}
    transport: {transport}{settings}
    replay_from: earliest
    handlers:
"""
#: Settings of listeners on the Pub/Sub API only.
_OF_PUBSUB = """
    pubsub_endpoint: http://127.0.0.1:{port}
    keep_alive_interval: 5"""
_MAPPING = """\
      - on: {on}
        entity: "{entity}"
        handler: {handler}
        options: {{failure_rate: {failure_rate}}}
"""
CHANNELS = {"everything": "/data/ChangeEvents", "contacts": "/data/ContactChangeEvent"}
#: The entities that each listener receives; empty: all.
HEARD = {"everything": frozenset[str](), "contacts": frozenset({"Contact"})}
#: The handlers of each listener's changes; updates go to the last.
HANDLED = {"everything": (handlers.ATOMIC, handlers.BATCH), "contacts": (handlers.PLAIN,)}


@dataclass(frozen=True, slots=True)
class Size:
    """The size of the product: its listeners, processes and settings."""

    names: tuple[str, ...] = ("everything", "contacts")
    listeners: int = 2
    workers: int = 3
    failure_rate: float = 0.02
    settings: str = "tests.chaos.settings"
    #: Whether Salesforce and the database are reached through a relay that can be cut.
    can_be_cut: bool = True
    #: The entity whose changes go to a handler.
    handled: str = "*"
    transport: str = COMETD


class Stage:
    """Starts all servers and processes in a folder, and stops them."""

    def __init__(self, folder: Path, broker: Broker, size: Size) -> None:
        self.folder = folder
        self.broker = broker
        self.size = size
        self.database = PostgresServer(folder / "postgres")
        self.database_relay = Relay(self.database.port)
        self.listeners: list[Service] = []
        self.workers: list[Service] = []
        self.init = Init()
        self.exit_codes: list[int] = []

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
        """Start servers and processes; `ending` stops those already started if a start fails."""
        self._start_servers(ending)
        self._environment = self._make_environment()
        self.manage("migrate", "--verbosity", "0")
        self._configure()
        ending.callback(self.stop_services)
        for number in range(1, self.size.listeners + 1):
            self.listeners.append(self._service(f"listener{number}", _LISTENER))
        for number in range(1, self.size.workers + 1):
            name = f"worker{number}"
            self.workers.append(self._service(name, [*_WORKER, "-n", f"{name}@%h"]))
        wait_until_logged(self.workers, "ready.", START_SECONDS)
        self.init.start()

    def _start_servers(self, ending: ExitStack) -> None:
        self.database.start()
        ending.callback(self.database.stop)
        with self.connect() as connection:
            connection.execute(handlers.TABLE)
        self.broker.start()
        ending.callback(self.broker.kill)
        self.org = SimulatorProcess(*_ORG, grpc=True)
        self.org.start()
        ending.callback(self.org.close)
        self.org_relay = Relay(self.org.port)
        self.pubsub_relay = Relay(self._own_pubsub_port)
        for relay in (self.database_relay, self.org_relay, self.pubsub_relay):
            relay.start()
            ending.callback(relay.stop)

    @property
    def _database_port(self) -> int:
        return self.database_relay.port if self.size.can_be_cut else self.database.port

    @property
    def _org_port(self) -> int:
        return self.org_relay.port if self.size.can_be_cut else self.org.port

    @property
    def _own_pubsub_port(self) -> int:
        return int(self.org.grpc_endpoint.rpartition(":")[2])

    @property
    def _pubsub_port(self) -> int:
        return self.pubsub_relay.port if self.size.can_be_cut else self._own_pubsub_port

    def _make_environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": f"postgres://postgres@127.0.0.1:{self._database_port}/postgres",
            "CELERY_BROKER_URL": self.broker.url,
            "DJANGO_SETTINGS_MODULE": self.size.settings,
            "CDC_HANDLER_MODULES": "tests.chaos.handlers",
            "SECRET_KEY": secrets.token_urlsafe(40),
            "CDC_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "VAR_DIR": str(self.folder / "var"),
            "LOG_LEVEL": "INFO",
        }

    def _configure(self) -> None:
        path = self.folder / "cdc.yaml"
        path.write_text(self._configuration())
        self.manage("apply_cdc_config", str(path))

    def _configuration(self) -> str:
        names = self.size.names
        connections = "".join(map(self._connection, names))
        listeners = "".join(map(self._listener, names))
        return f"connections:\n{connections}listeners:\n{listeners}"

    def _connection(self, name: str) -> str:
        known = {key: self.org.credentials[key] for key in ("client_id", "client_secret")}
        return _CONNECTION.format(name=name, url=f"http://localhost:{self._org_port}", **known)

    def _listener(self, name: str) -> str:
        mappings = (
            _MAPPING.format(
                on=on,
                entity=self.size.handled,
                handler=HANDLED[name][-1 if on == "update" else 0],
                failure_rate=self.size.failure_rate,
            )
            for on in ("create", "update", "delete", "restore")
        )
        transport = transport_of(name, self.size.transport)
        listener = _LISTENER_OF.format(
            name=name,
            channel=CHANNELS[name],
            transport=transport,
            settings=_OF_PUBSUB.format(port=self._pubsub_port) if transport == PUBSUB else "",
        )
        return listener + "".join(mappings)

    def manage(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, **self._environment},
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"manage.py {arguments[0]} failed: {done.stdout}")

    def _service(self, name: str, arguments: Sequence[str]) -> Service:
        service = Service(name, arguments, self._environment, self.folder / f"{name}.log")
        self.init.services.append(service)
        return service

    @property
    def services(self) -> list[Service]:
        return [*self.listeners, *self.workers]

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection to the database itself, without the relay, that commits each
        statement."""
        return psycopg.connect(self.database.url, autocommit=True, connect_timeout=5)

    def stop_services(self) -> None:
        """Stop the services as an operator does, frozen ones included, and keep the listeners' exit
        codes."""
        self.init.stop()
        for service in self.services:
            for process in service.tree():
                tell(process, signal.SIGCONT)
        self.exit_codes += [service.stop(STOP_SECONDS) for service in self.listeners]
        for service in self.workers:
            service.stop(STOP_SECONDS)
        self.listeners.clear()
        self.workers.clear()
