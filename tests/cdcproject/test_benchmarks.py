"""The benchmarks count what was done, and go on after a measurement that fails."""

import json
import subprocess
import sys

import pytest

from benchmarks.figures import Figure, Report, Target
from benchmarks.stage import Conditions, Stage
from benchmarks.turns import RATE, Turns
from benchmarks.versions import Version, table
from tests.nursery import ROOT

pytestmark = pytest.mark.anywhere


def test_two_versions_are_measured_by_turns(tmp_path):
    file = tmp_path / "report.json"
    options = ["--database", "sqlite", "--transport", "cometd", "--changes", "40"]
    here = [str(ROOT), "backlog", *options, "--runs", "1", "--report", str(file)]

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.versions", *here],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    for version in ("before", "now"):
        assert found[version]["failures"] == []
        rate, cpu = found[version]["figures"]
        assert rate["name"] == cpu["name"] == "backlog, cometd, sqlite, valkey"
        assert (rate["unit"], cpu["unit"]) == ("changes/s", "us of CPU/change")
        [run] = rate["runs"]
        assert run > 0
    assert done.stdout.count("| backlog, cometd, sqlite, valkey |") == 2  # rate and CPU time


def test_a_table_of_two_versions_says_what_one_of_them_lacks():
    before, now = Version("before", ROOT), Version("now", ROOT)
    for version, runs in ((before, [100.0, 300.0, 200.0]), (now, [150.0, 250.0])):
        version.add({"figures": [{"name": "rate", "unit": RATE, "runs": runs}], "failures": {}})
    now.add(
        {"figures": [{"name": "new", "unit": "MB", "runs": [7.0]}], "failures": {"old": "refused"}}
    )

    assert table(before, now)[2:] == [
        "| rate | 200 changes/s | 100 - 300 | 200 changes/s | 150 - 250 | +0% |",
        "| new |  |  | 7 MB |  |  |",
        "FAILED now: old: refused",
    ]


class EmptyStage(Stage):
    """A stage without a migration, for runs that need no tables."""

    def _migrate(self, url):
        pass


def test_a_way_that_fails_is_reported_and_the_others_go_on():
    def broken(run):
        raise RuntimeError("of 10: 9 recorded")

    report = Report()
    ways = {"broken": broken, "good": lambda run: {RATE: 2.0}}

    with EmptyStage(Conditions("sqlite", "valkey")).open() as stage:
        turns = Turns(stage, report, ways)
        turns.run(2)
        turns.conclude()

    assert report.failures == {"broken": "RuntimeError: of 10: 9 recorded"}
    assert [(one.name, one.values) for one in report.figures] == [("good", (2.0, 2.0))]
    assert report.lines()[-1] == "FAILED: broken: RuntimeError: of 10: 9 recorded"


@pytest.mark.parametrize(
    ("values", "verdict"), [((9.0, 20.0, 21.0), "met"), ((9.0, 9.9, 30.0), "MISSED")]
)
def test_the_median_is_judged(values, verdict):
    target = Target.share_of([19.0, 20.0, 90.0], 0.5, "half the floor")

    figure = Figure("backlog", RATE, values, (target,))

    assert figure.verdict == verdict
    assert figure.as_json()["targets"] == [
        {"target": ">= 10 (half the floor)", "met": verdict == "met"}
    ]


def test_what_may_be_so_much_at_most_is_met_below_it():
    limit = Target(30, "ms", at_most=True)

    assert Figure("latency", "ms", (29.0,), (limit,)).verdict == "met"
    assert Figure("latency", "ms", (31.0,), (limit,)).verdict == "MISSED"
