"""Runs several ways to do the same work by turns, so that other load on the machine affects all of
them alike."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from benchmarks.figures import Figure, Report, Target
from benchmarks.stage import Run, Stage

RATE = "changes/s"
#: The CPU cost, which other load on the machine affects less than the rate.
CPU = "us of CPU/change"
#: The database server's.
DATABASE_CPU = "us of database CPU/change"
#: By unit.
Measured = Mapping[str, float]
#: One run.
Way = Callable[[Run], Measured]
Rates = Mapping[str, tuple[float, ...]]


def measured(changes: int, seconds: float, cpu: float, database_cpu: float) -> Measured:
    """Return the rate of these changes, and the CPU time of each of them."""
    each = 1e6 / changes
    found = {RATE: changes / seconds, CPU: each * cpu}
    return found | ({DATABASE_CPU: each * database_cpu} if database_cpu else {})


class Turns:
    """Runs each way and keeps its figures. A way that fails is reported, and not run again."""

    def __init__(
        self, stage: Stage, report: Report, ways: Mapping[str, Way], rate: str = RATE
    ) -> None:
        """Take the ways by name; `rate` is the unit of the figures that have targets."""
        self._stage = stage
        self._report = report
        self._rate = rate
        self._ways = dict(ways)
        self._found: dict[tuple[str, str], list[float]] = {}

    def run(self, runs: int) -> None:
        for number in range(1, runs + 1):
            for name in list(self._ways):
                self._once(name, f"{name}, run {number}")

    def _once(self, name: str, shown: str) -> None:
        try:
            with self._stage.run() as run:
                measured = self._ways[name](run)
        except Exception as error:
            del self._ways[name]
            self._report.failures[name] = f"{type(error).__name__}: {error}"
            say(f"{shown}: failed: {error}")
            return
        say(f"{shown}: " + ", ".join(f"{value:,.3g} {unit}" for unit, value in measured.items()))
        for unit, value in measured.items():
            self._found.setdefault((name, unit), []).append(value)

    def rates(self) -> Rates:
        return {
            name: tuple(found) for (name, unit), found in self._found.items() if unit == self._rate
        }

    def conclude(self, targets: Callable[[str], tuple[Target, ...]] = lambda name: ()) -> None:
        """Add the figures to the report; `targets` returns those of the rate with that name."""
        for (name, unit), found in sorted(
            self._found.items(), key=lambda item: item[0][1] != self._rate
        ):
            judged = targets(name) if unit == self._rate else ()
            self._report.figures.append(Figure(name, unit, tuple(found), judged))


def say(text: str) -> None:
    """Print a line of progress; the table is printed at the end."""
    print(text, file=sys.stderr, flush=True)
