"""The counts of forked processes are added up, also after they have ended."""

import json
import subprocess
import sys

import pytest

from cdcproject.process.metrics import Folder
from tests.nursery import ROOT

pytestmark = pytest.mark.process


def run(folder, *options):
    done = subprocess.run(
        [sys.executable, "-m", "tests.metrics.forking", str(folder), *options],
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def test_processes_in_one_place_count_in_one_file_and_are_counted_once(tmp_path):
    said = run(tmp_path)

    assert said["nothing"] == []
    assert said["all"] == [
        'test_counted_total{who="a"} 10.0',
        'test_counted_total{who="b"} 9.0',
        'test_took_bucket{le="+Inf",who="a"} 9.0',
        'test_took_bucket{le="+Inf",who="b"} 9.0',
        'test_took_bucket{le="1.0",who="a"} 3.0',
        'test_took_bucket{le="1.0",who="b"} 3.0',
        'test_took_bucket{le="10.0",who="a"} 6.0',
        'test_took_bucket{le="10.0",who="b"} 6.0',
        'test_took_count{who="a"} 9.0',
        'test_took_count{who="b"} 9.0',
        'test_took_sum{who="a"} 166.5',
        'test_took_sum{who="b"} 166.5',
    ]
    assert said["files"] == [
        "counter_own.db",
        "counter_place0.db",
        "counter_place1.db",
        "histogram_place0.db",
        "histogram_place1.db",
    ]
    assert not list(tmp_path.iterdir())


def test_the_folder_of_one_that_was_killed_is_deleted_by_the_next_and_no_other(tmp_path):
    killed = run(tmp_path, "--killed")
    [left] = tmp_path.iterdir()
    assert str(left) == killed["folder"]

    held = Folder(tmp_path)
    run(tmp_path)

    assert list(tmp_path.iterdir()) == [held.path]
    held.remove()
