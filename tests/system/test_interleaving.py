"""A short run of `python -m tests.chaos.interleave`: every copy equals its record in the org."""

import os
import subprocess
import sys

import pytest
from django.db import connection

from tests.nursery import ROOT

KINDS = ["per_record-continue"]
if connection.vendor == "postgresql":
    KINDS += ["per_record-halt", "unordered-continue"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_copies_survive_failures_redeliveries_edits_pauses_and_deletes(kind):
    database = "sqlite" if connection.vendor == "sqlite" else "postgres"
    amount = ["--seed", "3", "--changes", "100", "--records", "8"]
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.chaos.interleave",
            *amount,
            "--kind",
            kind,
            "--database",
            database,
        ],
        cwd=ROOT,
        env={name: text for name, text in os.environ.items() if not name.startswith("CDC_")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as interleaving:
        try:
            said, _ = interleaving.communicate()
        finally:
            interleaving.terminate()  # when this test is given up: it ends what it has started

    assert interleaving.returncode == 0, said
