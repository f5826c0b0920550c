"""Measures `cdc_status` with a million waiting deliveries and a million that have succeeded."""

from __future__ import annotations

import time
from functools import partial

from benchmarks.figures import Report, Target
from benchmarks.stage import Run, Stage
from benchmarks.turns import Measured, Turns

SECONDS = "s"
_ENTRIES, _WAITING = 1_350_000, 1_000_000
_FULL = f"cdc_status, {_WAITING:,} waiting deliveries of 2,000,000"
#: Unordered, since one delivery of a chain is ready at a time.
_WAIT = f"""
UPDATE handlers_delivery SET finished_at = NULL, attempts = 0,
    state = CASE WHEN id % 2 = 0 THEN 'ready' ELSE 'blocked' END,
    chain = CASE WHEN id % 2 = 0 THEN '' ELSE chain END
WHERE state = 'succeeded' AND id > (SELECT max(id) - {_WAITING} FROM handlers_delivery)
"""


def measure(stage: Stage, report: Report, runs: int) -> None:
    ways = {"cdc_status, no deliveries": partial(_timed, 0), _FULL: partial(_timed, _ENTRIES)}
    turns = Turns(stage, report, ways, SECONDS)
    turns.run(runs)
    limit = Target(1, "the command alone, without the start of Python", at_most=True)
    turns.conclude(lambda name: (limit,) if name == _FULL else ())


def _timed(entries: int, run: Run) -> Measured:
    if entries:
        run.python("-m", "benchmarks.fill", str(entries))
        run.database.run(_WAIT)
    return {SECONDS: float(run.python("-m", "benchmarks.status").splitlines()[-1])}


def main() -> None:
    """Run the command, and print how long it took."""
    from django.core.management import call_command

    began = time.monotonic()
    call_command("cdc_status", "--format", "json")
    print(time.monotonic() - began)


if __name__ == "__main__":
    import django

    django.setup()
    main()
