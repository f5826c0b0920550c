"""The product's own processes, as an operator starts them: listeners and workers."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from django.db import connection

from tests.nursery import ROOT, Born, born
from tests.servers import PATIENCE_SECONDS, wait_for

#: PostgreSQL's name for the database sessions of the processes that a test starts.
APPLICATION_NAME = "a process of a test"


class Running:
    """A running command, with its output in a file."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._output = tempfile.TemporaryFile()
        self._process = self._begin(command, environment)

    def _begin(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes] | Born:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def output(self) -> str:
        # Not by seeking: that would move where the process writes.
        descriptor = self._output.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for the end, and return the exit code."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.output}") from None

    def wait_for_output(self, text: str, seconds: float = PATIENCE_SECONDS) -> None:
        def seen():
            if not self.is_running and text not in self.output:
                raise AssertionError(f"it ended without {text!r}:\n{self.output}")
            return text in self.output

        wait_for(seen, seconds=seconds, what=f"the output {text!r} in:\n{self.output}")

    def terminate(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Stop it with SIGTERM, and return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        """Kill it and its children with SIGKILL, so that none can clean up."""
        if self.is_running:
            with suppress(ProcessLookupError):  # it may just have ended
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        if self.is_running:
            with suppress(ProcessLookupError):  # it may just have ended
                os.kill(self.pid, number)

    def close(self) -> None:
        self.kill()
        self._output.close()


class Process(Running):
    """A process of the product on this test's database."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        super().__init__(arguments, {**os.environ, **same_database(), **environment})

    def _begin(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes] | Born:
        return super()._begin([sys.executable, "-W", "default", *command], environment)


class BornProcess(Process):
    """Such a process forked by the nursery, which is faster. Its command line and environment, seen
    from outside, are those of the nursery. From the third process with the same environment on, the
    product's modules are loaded, and its settings read, before the process starts."""

    def _begin(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes] | Born:
        output = self._output.fileno()
        with Path(os.devnull).open() as nothing:
            return born(command, environment, [nothing.fileno(), output, output])


def same_database() -> dict[str, str]:
    """Return the environment with which another process uses this test's database."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return {"DATABASE_URL": f"sqlite:///{name}", "DJANGO_SETTINGS_MODULE": "tests.settings"}
    base = os.environ["DATABASE_URL"].rpartition("/")[0]
    return {
        "DATABASE_URL": f"{base}/{name}",
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PGAPPNAME": APPLICATION_NAME,
    }


class Processes:
    """Starts processes for one test and ends them after it."""

    def __init__(self) -> None:
        self._started: list[Process] = []

    def start(self, *arguments: str, **environment: str) -> Process:
        return self._keep(Process(*arguments, **environment))

    def born(self, *arguments: str, **environment: str) -> Process:
        """Fork a process, which is faster than starting one. Its command line is the nursery's, and
        variables that Python reads at its start have no effect."""
        return self._keep(BornProcess(*arguments, **environment))

    def listener(self, *arguments: str, **environment: str) -> Process:
        return self.born("manage.py", "run_cdc_listener", *arguments, **environment)

    def worker(self, *arguments: str, concurrency: int = 1, **environment: str) -> Process:
        """Start a Celery worker, and wait until it is up."""
        process = self.born(
            "-m", "celery", "-A", "cdcproject", "worker", "-l", "INFO", "-c", str(concurrency),
            "--without-mingle", "--without-gossip", "-Q", "cdc,special", *arguments,
            **environment,
        )  # fmt: skip
        process.wait_for_output("ready.")
        return process

    def _keep(self, process: Process) -> Process:
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in reversed(self._started):
            process.close()
