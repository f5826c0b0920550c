"""A short run of `python -m tests.chaos.mirror` on SQLite: in the end every row equals its record
in the org, and none goes back in between. Without `--database` the command uses both databases."""

import os
import subprocess
import sys

import pytest

from tests.nursery import ROOT

pytestmark = pytest.mark.anywhere


@pytest.mark.timeout(1800)
def test_mirrors_survive_kills_faults_and_changes_of_the_schema():
    amount = ["--seed", "1", "--records", "200", "--seconds", "15"]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.mirror", *amount, "--database", "sqlite"],
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
