"""Ways to do the same, run by turns: what else the machine does meets all of them alike."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from benchmarks.figures import Report
from benchmarks.stage import Run, Stage

#: One run; what was measured.
Way = Callable[[Run], float]


def by_turns(
    stage: Stage, report: Report, ways: Mapping[str, Way], runs: int
) -> dict[str, tuple[float, ...]]:
    """What each way came to in each of its runs. One that fails is reported, and not run again."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    failed: set[str] = set()
    for number in range(1, runs + 1):
        for name, way in ways.items():
            if name in failed:
                continue
            try:
                with stage.run() as run:
                    found[name].append(way(run))
            except Exception as error:
                failed.add(name)
                report.failures[name] = f"{type(error).__name__}: {error}"
                say(f"{name}, run {number}: failed: {error}")
            else:
                say(f"{name}, run {number}: {found[name][-1]:,.1f}")
    return {name: tuple(values) for name, values in found.items() if values}


def say(text: str) -> None:
    """How far it is; the table comes at the end."""
    print(text, file=sys.stderr, flush=True)
