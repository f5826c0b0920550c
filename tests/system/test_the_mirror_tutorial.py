"""The steps of docs/mirror.md work as they are written, from an empty project to a verified
copy."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.examples import DOCS, blocks
from tests.nursery import ROOT
from tests.servers import free_port, wait_for

pytestmark = pytest.mark.anywhere

PAGE = DOCS / "mirror.md"
ADDRESS, PORT = "http://127.0.0.1:8090", "8090"
SECONDS = 400
#: Commands of the page that run until they are stopped.
LASTING = ("run_salesforce_simulator", "run_cdc_listener", "celery")


class Reader:
    """Types the page's commands, each block in a new shell with the page's export."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._port = str(free_port())
        self._running: list[subprocess.Popen[bytes]] = []
        self._begun = "true"
        (folder / ".venv").symlink_to(sys.prefix)
        for name in ("manage.py", "cdcproject"):
            (folder / name).symlink_to(ROOT / name)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text.replace(ADDRESS, f"http://127.0.0.1:{self._port}"))

    def begin(self, block: str) -> None:
        self.type(block)
        self._begun = block

    def type(self, block: str) -> str:
        """Run a block to its end, and return what it prints; each of its commands must succeed."""
        done = self._start(block, stdout=subprocess.PIPE)
        output, _ = done.communicate(timeout=SECONDS)
        assert done.returncode == 0, output.decode()
        return output.decode()

    def leave_running(self, block: str) -> Path:
        """Start a block whose command keeps running, and return the file with its output."""
        log = self.folder / f"{len(self._running)}.log"
        with log.open("wb") as output:
            self._running.append(self._start(f"exec {block}", stdout=output))
        return log

    def stop(self, number: int = 0) -> None:
        """Stop the processes from this number on, the last started first."""
        stopped = self._running[number:]
        for process in reversed(stopped):
            process.terminate()  # and not its children, which a Celery worker waits for
        for process in stopped:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            self._running.remove(process)

    def _start(self, block: str, **options) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["bash", "-e", "-c", f"{self._begun}\n{block.replace(PORT, self._port)}"],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "PYTHONUNBUFFERED": "1",
                "PYTHONPATH": os.pathsep.join([str(self.folder), str(ROOT)]),
            },
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )


@pytest.fixture
def reader(tmp_path):
    reader = Reader(tmp_path)
    yield reader
    reader.stop()


@pytest.mark.timeout(900)
def test_the_tutorial_leads_from_an_empty_project_to_a_verified_copy(reader):
    begin, simulator, prepare, listener, worker, add, verify, apply, *_ = blocks(PAGE, "sh")
    first, then = blocks(PAGE, "yaml")
    lasting = [block for block in blocks(PAGE, "sh") if any(one in block for one in LASTING)]
    assert lasting == [simulator, listener, worker]

    reader.begin(begin)
    # Fewer records and changes: the page's traffic is for a machine that does nothing else.
    announced = reader.leave_running(simulator.replace("--rate 5", "--rate 1"))
    wait_for(lambda: b"simulator at" in announced.read_bytes(), seconds=SECONDS)
    reader.write("mirror.yaml", first)
    assert "Create model Contact" in reader.type(prepare)
    reader.leave_running(listener)
    reader.leave_running(worker)

    added = reader.type(add)
    assert "crm.Account: load done, 3,0" in added
    assert "in sync as of" in added
    assert "no difference" in reader.type(verify)

    connections, _, _ = first.partition("listeners:")
    reader.write("mirror.yaml", connections + then)
    reader.write("crm/cdc_handlers.py", blocks(PAGE, "python")[-1])
    reader.stop(1)
    reader.leave_running(listener)
    log = reader.leave_running(worker)
    assert "+ handler of salesforceListener, update Account: crm.welcome" in reader.type(apply)
    wait_for(lambda: b": changed " in log.read_bytes(), seconds=SECONDS, what="a greeting")
