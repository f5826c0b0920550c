"""Measures one event that names thousands of records, an entry and a delivery for each."""

from __future__ import annotations

import time
from functools import partial

from benchmarks.end_to_end import WORKERS
from benchmarks.figures import Report
from benchmarks.org import ACCOUNTS, CREATES
from benchmarks.progress import Recorded, wait_for, wait_for_subscription
from benchmarks.stage import Run, Stage, configure, listener_yaml
from benchmarks.turns import Measured, Turns, Way
from tests.simulator.process import SimulatorProcess

_SECONDS = 300.0


def measure(stage: Stage, report: Report, transports: list[str], records: int, runs: int) -> None:
    with SimulatorProcess("--seed", "1", grpc=True) as org:
        ids = org.burst(records, mix=CREATES, entities=ACCOUNTS)["record_ids"]
        ways: dict[str, Way] = {}
        for transport in transports:
            for until in ("published", "handled"):
                name = f"one event of {records:,} records, {transport}, until all are {until}"
                ways[name] = partial(_seconds, org, ids, transport, until)
        turns = Turns(stage, report, ways)
        turns.run(runs)
    turns.conclude()


def _seconds(
    org: SimulatorProcess, ids: list[str], transport: str, until: str, run: Run
) -> Measured:
    configure(run, org, listener_yaml(org, transport, "bench.empty", replay_from="tip"))
    recorded = Recorded(run.database)
    if until == "handled":
        run.workers(WORKERS)
    wait_for_subscription(run.listener())
    began = time.time()
    answer = org.update("Account", ids, Description=f"Campaign {began}")
    if (answer["count"], answer["changes"]) != (1, len(ids)):
        raise RuntimeError(f"{answer['changes']} changes in {answer['count']} events")
    is_done = recorded.is_handled if until == "handled" else recorded.is_published
    return {"s": wait_for(lambda: is_done(len(ids)), _SECONDS, f"all {until}") - began}
