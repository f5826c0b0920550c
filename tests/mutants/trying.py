"""Makes a mutation in a copy of the repository, and runs the tests that cover it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.mutants.areas import ROOT
from tests.mutants.covering import Covering, databases
from tests.mutants.mutations import Mutation

#: The limit of the recorded time of a mutation's tests, on each database.
BUDGET_SECONDS = 40.0
_PATIENCE_SECONDS = 300.0
_SAMPLES = ROOT.parent / "shared" / "salesforce" / "samples"


class Verdict(StrEnum):
    KILLED = "killed"
    SURVIVED = "survived"
    UNCOVERED = "uncovered"


@dataclass(frozen=True, slots=True)
class Result:
    key: str
    verdict: Verdict
    #: The test that failed; of a survivor, how many passed.
    by: str


class Tree:
    """A copy of the repository for one mutation at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changes = 0
        shutil.rmtree(folder, ignore_errors=True)
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],
            cwd=ROOT, capture_output=True, check=True,
        )  # fmt: skip
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)

    def try_out(self, mutation: Mutation, covering: Covering) -> Result:
        """Run the tests that cover the mutation, on one database after the other, until one
        fails."""
        source = (ROOT / mutation.path).read_bytes()
        self._write(mutation.path, mutation.apply(source))
        try:
            tests = covering.tests(
                mutation.path,
                mutation.line,
                mutation.line + mutation.before.count("\n"),
                BUDGET_SECONDS,
                is_of_module=mutation.is_of_module,
            )
            if not tests:
                return Result(mutation.key, Verdict.UNCOVERED, "no test runs it")
            for database in databases():
                if failure := self._failure(tests, database):
                    return Result(mutation.key, Verdict.KILLED, failure)
        finally:
            self._write(mutation.path, source)
        return Result(mutation.key, Verdict.SURVIVED, f"{len(tests)} tests pass")

    def _write(self, path: str, source: bytes) -> None:
        """Write the source with a new time: Python recognizes a changed module by size and
        second."""
        file = self._folder / path
        before = file.stat().st_mtime
        file.write_bytes(source)
        self._changes += 2
        os.utime(file, (before + self._changes, before + self._changes))

    def _failure(self, tests: list[str], database: str) -> str:
        """Return the first test that fails, or an empty text if all pass."""
        listed = self._folder / "var-tests"
        listed.write_text("\n".join(tests))
        command = [sys.executable, "-m", "pytest", "-p", "no:schemathesis", "-x", "-q", "-rfE"]
        command += ["-p", "no:cacheprovider", "-o", "timeout=90", "--no-header", "--tb=no"]
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("CDC_TEST_")
        }
        environment.pop("TEST_DATABASE", None)
        if database == "postgres":
            environment["TEST_DATABASE"] = database
        if _SAMPLES.is_dir():
            environment.setdefault("CDC_SAMPLES_DIR", str(_SAMPLES))
        code, output = _run([*command, f"@{listed.name}"], self._folder, environment)
        if code == 0:
            return ""
        if "not found: " in output or code == 5:
            raise RuntimeError(f"the recorded tests are not there any more:\n{output[-2000:]}")
        failed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return failed[0].split(" - ")[0] if failed else "the run does not end, or does not start"


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int | None, str]:
    process = subprocess.Popen(
        command, cwd=folder, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=_PATIENCE_SECONDS)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)  # its servers are ended by it
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        return None, ""
