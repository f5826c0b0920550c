"""Runs the simulator as a process, for tests of its clients."""

import json
import queue
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.nursery import Born, piped
from tests.simulator.control_client import ControlClient

START_SECONDS = 60
STOP_SECONDS = 60


class SimulatorProcess(ControlClient):
    """Starts `python -m simulator` on a free port, and drives it over its control API.

    Use it as a context manager:

        with SimulatorProcess("--connect-timeout", "5") as org:
            [account_id] = org.create("Account", Name="Acme")
            org.update("Account", account_id, Phone=None)

    `options` go to the command line as they are. With `port` it listens there, so that it can be
    stopped and started again under the same address; records and events do not outlive it.
    With `--tls-cert`, `ca` is what to trust it by, and `client_cert` what to show it. With `grpc`
    it has the Pub/Sub API too, at `grpc_endpoint`, on the same port after a stop.
    """

    def __init__(
        self,
        *options: str,
        port: int = 0,
        grpc: bool = False,
        ca: Path | None = None,
        client_cert: tuple[Path, Path] | None = None,
    ) -> None:
        super().__init__(ca, client_cert)
        self._options = options
        self._port = port
        self._grpc_port = 0 if grpc else None
        self._process: Born | None = None
        self.credentials: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port on which it listens, also after it has stopped."""
        return self._port

    @property
    def grpc_endpoint(self) -> str:
        """`http://localhost:PORT`, and `localhost:PORT` over TLS."""
        return self.credentials["grpc_endpoint"]

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None, "the simulator is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it listens; after a stop, on the same port again."""
        arguments = ["--port", str(self._port), "--json", "--exit-with-stdin", *self._options]
        if self._grpc_port is not None:
            arguments += ["--grpc-port", str(self._grpc_port)]
        self._process = piped("-m", "simulator", *arguments)
        announcement = json.loads(self._first_line(self._process))
        self._port = announcement.pop("port")
        self._grpc_port = announcement.pop("grpc_port", None)
        self.url = announcement.pop("url")
        self.credentials = announcement

    def _first_line(self, process: Born) -> str:
        lines: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        threading.Thread(
            target=lambda output: lines.put(output.readline()),
            args=(process.stdout,),
            daemon=True,
        ).start()
        try:
            line = lines.get(timeout=START_SECONDS)
        except queue.Empty:
            line = ""
        if not line:
            self.kill()
            raise RuntimeError("the simulator did not start; its errors are on standard error")
        return line

    def stop(self) -> int:
        """Stop it with SIGTERM, or kill it if it does not end; return its exit code."""
        process = self._process
        assert process is not None, "the simulator is not running"
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        return self._reap(process)

    def kill(self) -> int:
        """Kill it with SIGKILL, as a crash would; return its exit code."""
        process = self._process
        assert process is not None, "the simulator is not running"
        process.kill()
        return self._reap(process)

    def _reap(self, process: Born) -> int:
        code = process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        self._process = None
        return code

    def close(self) -> None:
        """Stop it if it runs, and close the connections to it."""
        if self._process is not None:
            self.stop()
        self.http.close()
