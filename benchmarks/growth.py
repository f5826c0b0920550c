"""What a change costs as the audit log grows: a backlog recorded into an empty log and into a full
one, by turns on the same server."""

from __future__ import annotations

import time
from functools import partial

from benchmarks.backlog import product
from benchmarks.databases import Database
from benchmarks.figures import Figure, Report, Target
from benchmarks.org import org_with
from benchmarks.stage import Run, Stage
from benchmarks.turns import Way, by_turns
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
        rates = by_turns(stage, report, ways, runs)
    for name, found in rates.items():
        is_full = name == full_name and _EMPTY in rates
        target = Target.share_of(rates.get(_EMPTY, [0]), 0.8, "within 20 % of the empty log's")
        report.figures.append(Figure(name, "changes/s", found, (target,) if is_full else ()))


def _into(full: Database, transport: str, org: SimulatorProcess, changes: int, run: Run) -> float:
    run.environment["DATABASE_URL"] = full.url
    # It outlives the run: what was heard before must not be known.
    name = f"bench{time.time_ns()}"
    return product(
        transport,
        org,
        changes,
        Run(run.folder, full, run.broker, run.environment, run.services),
        name,
    )
