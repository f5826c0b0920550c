"""Measures pruning of a month's entries, with nothing else to do and beside a steady rate of
changes that are recorded and published."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from benchmarks.figures import Figure, Report, Target
from benchmarks.org import create
from benchmarks.progress import Recorded, wait_for, wait_for_subscription
from benchmarks.stage import Run, Stage, configure, listener_yaml
from benchmarks.turns import RATE, Measured, Turns, Way
from tests.simulator.process import SimulatorProcess

PRUNED = "entries/s pruned"
#: From a change's commit until its delivery is published.
DELAY = "ms until published, median"
CHANGES = 500
_DAYS, _DAYS_AGO = 30, 120
_STEP_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0
_ALONE = f"{CHANGES} changes/s, no pruning"
_BESIDE = f"pruning beside {CHANGES} changes/s"
_SPEED = """
SELECT (outcome->>'entries')::float / extract(epoch FROM finished_at - started_at)
FROM audit_work WHERE kind = 'prune' AND state = 'done'
"""
_DELAYS = """
SELECT percentile_cont(0.5) WITHIN GROUP (
    ORDER BY extract(epoch FROM d.queued_at) * 1000 - e.commit_timestamp)
FROM handlers_delivery d JOIN audit_auditlogentry e ON e.id = d.entry_id
WHERE d.queued_at IS NOT NULL AND e.id > {before}
"""


def measure(
    stage: Stage, report: Report, transport: str, *, entries: int, seconds: float, runs: int
) -> None:
    ways: dict[str, Way] = {
        "pruning, nothing recorded": partial(_pruned, entries),
        _ALONE: partial(_beside, transport, entries, lambda _: time.sleep(seconds)),
        _BESIDE: partial(_beside, transport, entries, _prune),
    }
    turns = Turns(stage, report, ways)
    turns.run(runs)
    first = len(report.figures)
    turns.conclude()
    report.figures[first:] = [_judged(figure) for figure in report.figures[first:]]


def _judged(figure: Figure) -> Figure:
    """Return the figure with its target: the rates while entries are pruned."""
    targets = {
        PRUNED: Target(3000, f"beside {CHANGES} changes/s"),
        RATE: Target(0.9 * CHANGES, "recorded, within 10 %"),
    }
    if figure.name != _BESIDE or figure.unit not in targets:
        return figure
    return Figure(figure.name, figure.unit, figure.values, (targets[figure.unit],))


def _pruned(entries: int, run: Run) -> Measured:
    _fill(run, entries)
    _prune(run)
    return {PRUNED: float(run.database.row(_SPEED)[0])}


def _fill(run: Run, entries: int) -> None:
    run.python("-m", "benchmarks.fill", str(entries), str(_DAYS_AGO))


def _prune(run: Run) -> None:
    run.manage("prune_audit_log", "--older-than", str(_DAYS))


def _beside(transport: str, entries: int, work: Callable[[Run], None], run: Run) -> Measured:
    """Publish changes at a steady rate until `work` is done."""
    _fill(run, entries)
    with SimulatorProcess("--seed", "1", grpc=True) as org:
        configure(run, org, listener_yaml(org, transport, "bench.empty", name="retention"))
        recorded = Recorded(run.database)
        before = run.database.row("SELECT max(id) FROM audit_auditlogentry")[0]
        wait_for_subscription(run.listener("retention"))
        over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            began = time.monotonic()
            publishing = pool.submit(_publish, org, over)
            try:
                work(run)
            finally:
                over.set()
            sent = publishing.result()
            seen, seconds = recorded.count, time.monotonic() - began
        wait_for(lambda: recorded.is_published(sent), _PATIENCE_SECONDS, "the last change")
    found = {RATE: seen / seconds, DELAY: float(run.database.row(_DELAYS.format(before=before))[0])}
    speed = run.database.row(_SPEED)
    return found | ({PRUNED: float(speed[0])} if speed else {})


def _publish(org: SimulatorProcess, over: threading.Event) -> int:
    """Publish changes evenly until `over`, and return their number."""
    started, count = time.monotonic(), 0
    while not over.wait(_STEP_SECONDS):
        due = int((time.monotonic() - started) * CHANGES)
        create(org, due - count)
        count = due
    return count
