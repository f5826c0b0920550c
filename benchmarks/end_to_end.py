"""Measures a backlog from the subscription until every handler has run, beside Celery tasks that do
nothing."""

from __future__ import annotations

import time
from functools import partial

from benchmarks.figures import Report, Target
from benchmarks.org import org_with
from benchmarks.progress import (
    Recorded,
    cpu_seconds,
    subscribed_at,
    wait_for,
    wait_for_subscription,
)
from benchmarks.stage import Run, Stage, configure, listener_yaml
from benchmarks.turns import CPU, RATE, Measured, Rates, Turns, Way, measured
from tests.simulator.process import SimulatorProcess

WORKERS = 2
#: The part of CPU that the listener takes.
LISTENER_CPU = "us of the listener's CPU/change"
_SECONDS = 1800.0
_CELERY = "empty Celery tasks, nothing else running"
_KINDS = {"plain": "", "atomic=True": "_atomic", "batch=100": "_batch"}
_ROWS = "SELECT count(*) FROM bench_row"


def measure(
    stage: Stage, report: Report, transport: str, *, changes: int, runs: int, workers: int
) -> None:
    """Measure handlers that do nothing and handlers that write a row for each change."""
    with org_with(changes) as org:
        ways: dict[str, Way] = {}
        if stage.conditions.is_production:
            ways[_CELERY] = partial(celery_alone, changes, workers)
        works = ("empty", "upsert") if stage.conditions.is_production else ("upsert",)
        for work in works:
            for kind, suffix in _KINDS.items():
                handler = f"bench.{work}{suffix}"
                way = partial(product, transport, org, changes, handler, workers=workers)
                ways[_name(stage, work, kind)] = way
        turns = Turns(stage, report, ways)
        turns.run(runs)
    turns.conclude(partial(_targets, stage, turns.rates()))


def _name(stage: Stage, work: str, kind: str) -> str:
    return f"end to end, {work}, {kind}, {stage.conditions}"


def _targets(stage: Stage, rates: Rates, name: str) -> tuple[Target, ...]:
    shares = {_name(stage, "empty", "plain"): (_CELERY, 0.75, "0.75 of empty Celery tasks")}
    for work in ("empty", "upsert"):
        plain = _name(stage, work, "plain")
        shares[_name(stage, work, "batch=100")] = (plain, 4.0, "four times plain")
    if name not in shares or (other := shares[name])[0] not in rates:
        return ()
    return (Target.share_of(rates[other[0]], *other[1:]),)


def product(
    transport: str,
    org: SimulatorProcess,
    changes: int,
    handler: str,
    run: Run,
    *,
    workers: int = WORKERS,
) -> Measured:
    """Measure changes per second from the subscription until all are handled by running workers."""
    configure(run, org, listener_yaml(org, transport, handler))
    recorded = Recorded(run.database)
    processes = run.workers(workers)
    of_workers = cpu_seconds(processes)
    listener = run.listener()
    of_listener = wait_for_subscription(listener)
    of_database = run.database_cpu()
    ended = wait_for(lambda: recorded.is_handled(changes), _SECONDS, "the end of all handlers")
    counts = recorded.counts()
    if counts != (changes, changes, changes):
        raise RuntimeError(f"of {changes}: {counts} recorded, published, handled")
    written = run.database.row(_ROWS)[0]
    if "upsert" in handler and written != changes:
        raise RuntimeError(f"of {changes}: {written} rows written by the handlers")
    of_workers = cpu_seconds(processes) - of_workers
    of_listener = cpu_seconds([listener]) - of_listener
    of_database = run.database_cpu() - of_database
    seconds = ended - subscribed_at(listener)
    found = measured(changes, seconds, of_workers + of_listener, of_database)
    return {**found, LISTENER_CPU: 1e6 * of_listener / changes}


def celery_alone(changes: int, workers: int, run: Run) -> Measured:
    """Measure the tasks per second that the same workers drain; all are sent before they start."""
    run.python("-m", "benchmarks.send_tasks", str(changes))
    processes = run.workers(workers)
    before = cpu_seconds(processes)
    first, began = run.broker.waiting(), time.monotonic()
    wait_for(lambda: not run.broker.waiting(), _SECONDS, "the end of the tasks")
    if first < changes / 2:
        raise RuntimeError(f"only {first} of {changes} tasks were left when the workers were up")
    cpu = cpu_seconds(processes) - before
    return {RATE: first / (time.monotonic() - began), CPU: 1e6 * cpu / first}
