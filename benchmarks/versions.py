"""`python -m benchmarks.versions BEFORE WHAT …`: measures this version and an earlier one by turns,
and prints their medians side by side.

BEFORE is a folder with the earlier version. It runs its own benchmarks, with the same Python and
packages as this one. All other options are those of `python -m benchmarks`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.__main__ import chosen as measurement
from benchmarks.figures import Figure, markdown_table
from benchmarks.turns import say
from tests.chaos.report import machine_name, package_versions

NOW = Path(__file__).resolve().parent.parent
#: A figure's name and unit.
Key = tuple[str, str]


class Version:
    """A version in a folder, with the figures of its runs."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.found: dict[Key, list[float]] = {}
        self.failures: list[str] = []
        self._folder = folder

    def run(self, arguments: Sequence[str]) -> None:
        """Run `python -m benchmarks` once with these arguments."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "report.json")
            command = [sys.executable, "-m", "benchmarks", *arguments, "--runs", "1"]
            # Both keep their compiled modules: the one that has none would start more slowly.
            environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
            done = subprocess.run(
                [*command, "--report", str(file)],
                cwd=self._folder,
                env=environment,
                check=False,
                stdout=subprocess.DEVNULL,
            )
            if not file.exists():
                raise SystemExit(f"{self.name}: the benchmark ended with {done.returncode}")
            self.add(json.loads(file.read_text()))

    def add(self, report: Mapping[str, Any]) -> None:
        """Add the figures of a run's report."""
        for figure in report["figures"]:
            key = (figure["name"], figure["unit"])
            self.found.setdefault(key, []).extend(figure["runs"])
        self.failures += [f"{name}: {why}" for name, why in report["failures"].items()]


def table(before: Version, now: Version) -> list[str]:
    """Return a row for each figure of either version, and the failures."""
    rows: list[tuple[str, ...]] = [
        ("figure", "before", "min - max", "now", "min - max", "change"),
        ("---", *["--:"] * 5),
    ]
    for key in dict.fromkeys([*now.found, *before.found]):
        both = [
            Figure(*key, tuple(version.found[key])) if key in version.found else None
            for version in (before, now)
        ]
        cells = [cell for figure in both for cell in (figure.row()[1:3] if figure else ("", ""))]
        medians = [figure.median for figure in both if figure]
        change = f"{medians[1] / medians[0] - 1:+.0%}" if len(medians) == 2 and medians[0] else ""
        rows.append((key[0], *cells, change))
    failed = [f"FAILED {one.name}: {why}" for one in (before, now) for why in one.failures]
    return [*markdown_table(rows), *failed]


def chosen(given: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """Parse the given arguments, or those of the command line; return the options, and the
    arguments of `python -m benchmarks`."""
    parser = argparse.ArgumentParser(prog="benchmarks.versions", description=__doc__)
    parser.add_argument("before", type=Path, help="folder with the earlier version")
    parser.add_argument("--runs", type=int, default=5, help="runs of each version")
    parser.add_argument("--report", type=Path, metavar="FILE", help="every run's figures, as JSON")
    options, arguments = parser.parse_known_args(given)
    measurement(arguments)  # refuses unknown ones
    return options, arguments


def main() -> None:
    options, arguments = chosen()
    if not (options.before / "benchmarks").is_dir():
        raise SystemExit(f"{options.before} has no benchmarks: give the folder of a version")
    before, now = Version("before", options.before), Version("now", NOW)
    for number in range(1, options.runs + 1):
        for version in (before, now):
            say(f"run {number} of {options.runs}, {version.name}")
            version.run(arguments)
        if options.report:  # what is there is not lost with what comes
            _write(options.report, before, now)
    print(machine_name())
    print(", ".join(f"{name} {number}" for name, number in package_versions().items()))
    print("\n".join(["", *table(before, now)]))


def _write(file: Path, *versions: Version) -> None:
    found = {
        version.name: {
            "figures": [{"name": n, "unit": u, "runs": r} for (n, u), r in version.found.items()],
            "failures": version.failures,
        }
        for version in versions
    }
    file.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
