"""A short acceptance run of external tasks: workers killed, their broker flushed and restarted."""

import os
import subprocess
import sys

import pytest

from tests.nursery import ROOT

pytestmark = pytest.mark.anywhere


@pytest.mark.timeout(900)
def test_tasks_of_another_project_end_as_its_own_log_says():
    amount = ["--changes", "200", "--records", "20", "--kills", "1", "--report-timeout", "60"]
    kind = ["--seed", "1", "--celery", "own", "--broker", "redis", "--results", "without"]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.external", *kind, *amount, "--database", "sqlite"],
        cwd=ROOT,
        env={name: text for name, text in os.environ.items() if not name.startswith("CDC_")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as chaos:
        try:
            said, _ = chaos.communicate()
        finally:
            chaos.terminate()  # when this test is given up: it ends what it has started

    assert chaos.returncode == 0, said
