"""A short run of `make chaos`: processes are killed, connections cut, brokers and databases
lost."""

import os
import subprocess
import sys

import pytest
from django.db import connection

from tests.nursery import ROOT

pytestmark = pytest.mark.anywhere


@pytest.mark.timeout(900)
def test_random_faults_lose_nothing_repeat_nothing_and_keep_the_order():
    if connection.vendor == "sqlite":
        pytest.skip("it restarts its database: run with TEST_DATABASE=postgres")
    amount = ["--changes", "1000", "--seconds", "9", "--every", "0.6"]
    kind = ["--seed", "1", "--broker", "valkey", "--transport", "both"]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.chaos", *kind, *amount],
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
