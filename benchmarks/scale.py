"""Measures an installation and one of twice its size, to check the model of `docs/scaling.md`: the
CPU time of a change, by process, decides how many changes per second the cores carry."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterable
from functools import partial

import psutil

from benchmarks.figures import Figure, Report, Target
from benchmarks.org import create
from benchmarks.progress import Recorded, cpu_seconds, wait_for, wait_for_subscription
from benchmarks.stage import Run, Stage, configure, listener_yaml
from benchmarks.turns import DATABASE_CPU, RATE, Measured, Turns, Way
from tests.chaos.services import Service
from tests.simulator.process import SimulatorProcess

#: Each size has so many cores, listeners in processes of their own, and workers of one process.
SIZES = (1, 2)
_LISTENER_CPU = "us of the listeners' CPU/change"
_WORKER_CPU = "us of the workers' CPU/change"
#: The simulator and the broker.
_OTHER_CPU = "us of other CPU/change"
_SECONDS = 900.0
#: Changes that are handled before the measurement begins.
_FIRST = 500


def measure(stage: Stage, report: Report, transport: str, changes: int, runs: int) -> None:
    """Measure both sizes by turns, with a handler that writes a row for each change."""
    if len(os.sched_getaffinity(0)) < max(SIZES):
        raise RuntimeError(f"this benchmark needs {max(SIZES)} cores")
    ways: dict[str, Way] = {
        _name(size): partial(_measured, stage, transport, changes, size=size) for size in SIZES
    }
    turns = Turns(stage, report, ways)
    turns.run(runs)
    turns.conclude()
    rates = turns.rates()
    if len(rates) == len(SIZES):
        small, large = (statistics.median(rates[_name(size)]) for size in SIZES)
        grown = Target(0.8 * SIZES[1] / SIZES[0], "0.8 of what the model says")
        report.figures.append(
            Figure("scale, growth of the rate", "times", (large / small,), (grown,))
        )


def _name(size: int) -> str:
    return f"scale, cores, listeners and workers: {size} each"


def _measured(stage: Stage, transport: str, changes: int, run: Run, *, size: int) -> Measured:
    """Publish `changes` at once; return the rate of the deliveries of all listeners, and their CPU
    time by process."""
    names = [f"bench{number}" for number in range(size)]
    with SimulatorProcess("--seed", "1", grpc=True) as org:
        one = partial(listener_yaml, org, transport, "bench.insert", replay_from="tip")
        configure(run, org, "".join(one(name=name) for name in names))
        others = stage.others()
        with stage.on_cores(size):
            workers = run.workers(size)
            listeners = [run.listener(name) for name in names]
            for listener in listeners:
                wait_for_subscription(listener)
            _handle(run, org, _FIRST, size)  # what a process does only once
            before = _cpu_times(run, listeners, workers, others)
            began = time.time()
            ended = _handle(run, org, changes, size)
            after = _cpu_times(run, listeners, workers, others)
    deliveries = size * changes
    written = run.database.row("SELECT count(*) FROM bench_row")[0]
    if written != deliveries + size * _FIRST:
        raise RuntimeError(f"of {deliveries + size * _FIRST} rows {written} were written")
    used = {unit: 1e6 * (after[unit] - before[unit]) / deliveries for unit in after}
    return {RATE: deliveries / (ended - began), **used}


def _handle(run: Run, org: SimulatorProcess, changes: int, listeners: int) -> float:
    """Publish so many changes, and return the time at which all listeners' workers handled them."""
    recorded, deliveries = Recorded(run.database), listeners * changes
    create(org, changes)
    ended = wait_for(lambda: recorded.is_handled(deliveries), _SECONDS, "the last handler")
    counts = recorded.counts()
    if counts != (deliveries, deliveries, deliveries):
        raise RuntimeError(f"of {deliveries}: {counts} recorded, published, handled")
    return ended


def _cpu_times(
    run: Run,
    listeners: list[Service],
    workers: list[Service],
    others: Iterable[psutil.Process],
) -> dict[str, float]:
    """Return the seconds used so far, by the unit in which they are shown for each change."""
    return {
        _LISTENER_CPU: cpu_seconds(listeners),
        _WORKER_CPU: cpu_seconds(workers),
        DATABASE_CPU: run.database_cpu(),
        _OTHER_CPU: sum(sum(process.cpu_times()[:2]) for process in others),
    }
