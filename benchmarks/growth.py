"""Measures the cost of a change as the audit log grows: a backlog is recorded into an empty log and
into a full one, by turns on the same server."""

from __future__ import annotations

import dataclasses
import time
from functools import partial

from benchmarks.backlog import product
from benchmarks.databases import Database
from benchmarks.figures import Report, Target
from benchmarks.org import org_with
from benchmarks.stage import Run, Stage
from benchmarks.turns import Measured, Rates, Turns, Way
from tests.simulator.process import SimulatorProcess

_EMPTY = "backlog into an empty audit log"


def measure(
    stage: Stage, report: Report, transport: str, *, entries: int, changes: int, runs: int
) -> None:
    full = stage.full_database(entries)
    before = full.row("SELECT max(id) FROM audit_auditlogentry")[0]
    full_name = f"backlog into one of {before:,} entries"
    with org_with(changes) as org:
        ways: dict[str, Way] = {
            _EMPTY: partial(product, transport, org, changes),
            full_name: partial(_into, full, transport, org, changes),
        }
        turns = Turns(stage, report, ways)
        turns.run(runs)
    turns.conclude(partial(_targets, turns.rates(), full_name))


def _targets(rates: Rates, full_name: str, name: str) -> tuple[Target, ...]:
    if name != full_name or _EMPTY not in rates:
        return ()
    return (Target.share_of(rates[_EMPTY], 0.8, "within 20 % of the empty log's"),)


def _into(
    full: Database, transport: str, org: SimulatorProcess, changes: int, run: Run
) -> Measured:
    run.environment["DATABASE_URL"] = full.url
    # The database outlives the run: a new listener does not know the changes of earlier runs.
    name = f"bench{time.time_ns()}"
    filled = dataclasses.replace(run, database=full)
    return product(transport, org, changes, filled, name=name)
