"""`make demo`: everything runs, is judged, and is gone afterwards."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.nursery import ROOT
from tests.servers import wait_for

pytestmark = pytest.mark.any_database


@pytest.fixture
def demo(tmp_path):
    """Starts a demo in a folder of its own; whatever is left of it is found and ended."""
    started = []

    def start(seconds):
        environment = {**os.environ, "VAR_DIR": str(tmp_path), "DEMO_SECONDS": seconds}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "demo"],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate()


def children_of(process):
    return psutil.Process(process.pid).children(recursive=True)


def test_it_ends_by_itself_and_says_that_every_change_was_handled(demo, tmp_path):
    output, _ = demo("3").communicate(timeout=120)

    assert "/admin/   user demo, password" in output
    assert "Every change was recorded and handled." in output
    assert not (tmp_path / "demo" / "broker" / "broker.sock").exists()


def test_ctrl_c_ends_all_of_it(demo):
    process = demo("")
    for line in process.stdout:
        if "Logs" in line:
            break
    children = children_of(process)
    assert len(children) >= 5

    process.send_signal(signal.SIGINT)

    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "All processes are stopped." in output
    wait_for(lambda: not [child for child in children if child.is_running()])


def test_wrong_seconds_are_refused(demo):
    process = demo("soon")

    output, _ = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "DEMO_SECONDS is 'soon'" in output
