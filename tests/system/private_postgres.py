"""A test's own PostgreSQL server, which can be killed and frozen, with the product's schema."""

import os
import secrets
import signal
from collections.abc import Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.processes import Process, Processes
from tests.servers import PostgresServer

CONFIGURATION = """
connections:
  - name: org
    auth: client_credentials
    base_url: {url}
    client_id: {client_id}
    client_secret: {client_secret}
listeners:
  - name: one
    connection: org
    replay_from: earliest
    handlers:
"""
HANDLER = "      - {{on: {on}, entity: '*', handler: {handler}}}\n"


def new_server() -> PostgresServer:
    """Return a server that is not started, in a folder that its user can reach."""
    return PostgresServer(Path(os.environ["CDC_TEST_FOLDER"]) / f"postgres-{secrets.token_hex(4)}")


class PrivatePostgres:
    """Starts processes on a server of its own, and queries it over its own connections."""

    def __init__(self) -> None:
        self.server = new_server()
        self.server.start()
        self.environment = {"DATABASE_URL": self.server.url}
        self._run("manage.py", "migrate", "-v", "0")

    def configure(self, simulator, handler: str, folder: Path) -> None:
        """Configure one listener, `one`, that sends every change to the handler."""
        text = CONFIGURATION.format(url=simulator.url, **simulator.credentials) + "".join(
            HANDLER.format(on=on, handler=handler)
            for on in ("create", "update", "delete", "restore")
        )
        path = folder / "cdc.yaml"
        path.write_text(text)
        self._run("manage.py", "apply_cdc_config", str(path))

    def listener(self, processes: Processes, **environment: str) -> Process:
        return processes.listener("one", **self.environment, **environment)

    def worker(self, processes: Processes, **environment: str) -> Process:
        return processes.worker(concurrency=2, **self.environment, **environment)

    def _run(self, *arguments: str) -> None:
        process = Process(*arguments, **self.environment)
        try:
            assert process.wait(400) == 0, process.output
        finally:
            process.close()

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.server.url, connect_timeout=5) as connection:
            return connection.execute(query).fetchall()

    def number(self, query: str) -> int:
        """Return the query's only number, or -1 while the server is away."""
        try:
            return self.ask(query)[0][0]
        except psycopg.OperationalError:
            return -1

    @contextmanager
    def frozen(self):
        pids = self.server.pids()
        _send(signal.SIGSTOP, pids)
        try:
            yield
        finally:
            _send(signal.SIGCONT, pids)

    def close(self) -> None:
        self.server.stop()


def _send(signum: int, pids: Iterable[int]) -> None:
    """Send the signal to each process; some, such as autovacuum's, may just have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signum)
