"""The tests that run a line, recorded in one run of the suite, on PostgreSQL if it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coverage

from tests.mutants.areas import ROOT, every_module
from tests.servers import missing_postgres

#: Tests of whole processes run little of the product in the process that is traced.
_NOT_TRACED = ("browser", "deploy", "docs", "mutants", "peer", "cdcproject", "secrecy", "system")


@dataclass(frozen=True, slots=True)
class Covering:
    """The passed tests, with the lines that each runs."""

    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]

    def tests(
        self, path: str, first: int, last: int, budget: float, *, is_of_module: bool = False
    ) -> list[str]:
        """Return the quickest tests that run these lines, as many as fit into `budget` seconds.

        Lines that run while modules are imported belong to no test: any test of the module counts.
        So it does for the module's other statements (`is_of_module`), such as a query that is
        prepared by the first test that needs it.
        """
        by_line = self.lines.get(path, {})
        found = {test for line in range(first, last + 1) for test in by_line.get(line, ())}
        if is_of_module or not found:
            found = {test for tests in by_line.values() for test in tests}
        chosen: list[str] = []
        for test in sorted(found, key=lambda test: self.seconds[test]):
            budget -= self.seconds[test]
            if chosen and budget < 0:
                break
            chosen.append(test)
        return chosen


def databases() -> list[str]:
    """Return the installed databases, the quickest first. The last one is recorded: on PostgreSQL
    fewer tests are skipped."""
    return ["sqlite"] if missing_postgres() else ["sqlite", "postgres"]


def recorded(folder: Path, signature: str, jobs: int) -> Covering:
    """Return the coverage, read from `folder` if the same code was recorded."""
    kept = folder / "covering.json"
    if kept.exists():
        stored: dict[str, Any] = json.loads(kept.read_text())
        if stored["signature"] == signature:
            lines = {
                path: {int(line): tests for line, tests in by_line.items()}
                for path, by_line in stored["lines"].items()
            }
            return Covering(stored["seconds"], lines)
    covering = _record(folder / "record", databases()[-1], jobs)
    kept.write_text(
        json.dumps({"signature": signature, "seconds": covering.seconds, "lines": covering.lines})
    )
    return covering


def _record(folder: Path, database: str, jobs: int) -> Covering:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"recording which tests run which lines, on {database}", flush=True)
    command = [sys.executable, "-m", "pytest", "-p", "no:schemathesis", "-p", "no:cacheprovider"]
    command += ["-p", "tests.mutants.recorder", "-q", "-n", str(jobs), "--dist", "loadscope"]
    command += [f"--ignore=tests/{name}" for name in _NOT_TRACED]
    environment = os.environ | {"CDC_MUTANTS_RECORD": str(folder)}
    if database == "postgres":
        environment["TEST_DATABASE"] = "postgres"
    with (folder / "output").open("w") as output:
        subprocess.run(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, check=False
        )
    seconds: dict[str, float] = {}
    for file in folder.glob("seconds-*.json"):
        seconds |= json.loads(file.read_text())
    if not seconds:
        raise SystemExit(f"no test passed on {database}; see {folder / 'output'}")
    return Covering(seconds, _lines(folder, seconds))


def _lines(folder: Path, passed: dict[str, float]) -> dict[str, dict[int, list[str]]]:
    combined = coverage.Coverage(
        data_file=str(folder / "combined"), config_file=False, messages=False
    )
    combined.combine([str(file) for file in folder.glob("traced.*")], keep=True)
    data = combined.get_data()
    return {
        path: {
            line: sorted(test for test in tests if test in passed)
            for line, tests in data.contexts_by_lineno(str(ROOT / path)).items()
        }
        for path in every_module()
    }
