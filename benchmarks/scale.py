"""Measures an installation and one of twice its size, to check the model of `docs/scaling.md`: the
CPU time of a change, by process, decides how many changes per second the cores carry."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable
from functools import partial

import psutil

from benchmarks.figures import Figure, Report, Target
from benchmarks.org import org_with
from benchmarks.progress import (
    Recorded,
    cpu_seconds,
    subscribed_at,
    wait_for,
    wait_for_subscription,
)
from benchmarks.stage import Run, Stage, configure, listener_yaml
from benchmarks.turns import DATABASE_CPU, RATE, Measured, Turns, Way
from tests.simulator.process import SimulatorProcess

#: Each size has so many cores, listeners in processes of their own, and workers of one process.
SIZES = (1, 2)
_LISTENER_CPU = "us of the listeners' CPU/change"
_WORKER_CPU = "us of the workers' CPU/change"
#: The simulator and the broker.
_OTHER_CPU = "us of other CPU/change"
_SECONDS = 900.0


def measure(stage: Stage, report: Report, transport: str, changes: int, runs: int) -> None:
    """Measure both sizes by turns, with a handler that writes a row for each change."""
    if len(os.sched_getaffinity(0)) < max(SIZES):
        raise RuntimeError(f"this benchmark needs {max(SIZES)} cores")
    with org_with(changes) as org:
        ways: dict[str, Way] = {
            _name(size): partial(_measured, stage, transport, org, changes, size=size)
            for size in SIZES
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


def _measured(
    stage: Stage, transport: str, org: SimulatorProcess, changes: int, run: Run, *, size: int
) -> Measured:
    """Return the rate of the deliveries of all listeners, and their CPU time by process."""
    names = [f"bench{number}" for number in range(size)]
    yaml = (listener_yaml(org, transport, "bench.upsert", name=name) for name in names)
    configure(run, org, "".join(yaml))
    recorded, deliveries = Recorded(run.database), size * changes
    others = stage.others()
    with stage.on_cores(size):
        workers = run.workers(size)
        of_workers, of_others = cpu_seconds(workers), _cpu_seconds(others)
        listeners = [run.listener(name) for name in names]
        of_listeners = sum(wait_for_subscription(listener) for listener in listeners)
        of_database = run.database_cpu()
        ended = wait_for(lambda: recorded.is_handled(deliveries), _SECONDS, "the last handler")
    counts = recorded.counts()
    if counts != (deliveries, deliveries, deliveries):
        raise RuntimeError(f"of {deliveries}: {counts} recorded, published, handled")
    each = 1e6 / deliveries
    return {
        RATE: deliveries / (ended - min(subscribed_at(listener) for listener in listeners)),
        _LISTENER_CPU: each * (cpu_seconds(listeners) - of_listeners),
        _WORKER_CPU: each * (cpu_seconds(workers) - of_workers),
        DATABASE_CPU: each * (run.database_cpu() - of_database),
        _OTHER_CPU: each * (_cpu_seconds(others) - of_others),
    }


def _cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)
