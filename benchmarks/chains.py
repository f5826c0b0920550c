"""Measures a backlog of chains: many changes of each record, some of which fail at first."""

from __future__ import annotations

from functools import partial

from benchmarks.end_to_end import product
from benchmarks.figures import Report
from benchmarks.org import org_with_chains
from benchmarks.stage import Stage
from benchmarks.turns import Turns, Way

#: The changes of each record.
LENGTH = 20
_KINDS = {"plain": "bench.flaky", "batch=100": "bench.flaky_batch"}


def measure(stage: Stage, report: Report, transport: str, changes: int, runs: int) -> None:
    """Measure from the subscription until every handler has succeeded, retries included."""
    with org_with_chains(changes, LENGTH) as org:
        ways: dict[str, Way] = {
            f"chains, {kind}, {stage.conditions}": partial(product, transport, org, changes, name)
            for kind, name in _KINDS.items()
        }
        turns = Turns(stage, report, ways)
        turns.run(runs)
    turns.conclude()
