"""Measures the time from a change's publication to its handler's start, at a steady rate."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.end_to_end import WORKERS
from benchmarks.figures import Figure, Report, Target
from benchmarks.handler_table import MOMENTS
from benchmarks.org import create
from benchmarks.progress import Recorded, cpu_seconds, wait_for, wait_for_subscription
from benchmarks.stage import Run, Stage, configure, listener_yaml
from benchmarks.turns import say
from tests.simulator.process import SimulatorProcess

RATES = (10, 100, 500)
_STEP_SECONDS = 0.02
#: Time for the work that a process does only once, which is not in the figures.
_WARM_UP_SECONDS = 5.0
_PATIENCE_SECONDS = 600.0
_TARGETS = {
    (100, "median"): (Target(30, "at 100 changes/s", at_most=True),),
    (100, "99th percentile"): (Target(100, "at 100 changes/s", at_most=True),),
}


def measure(
    stage: Stage,
    report: Report,
    transport: str,
    *,
    rates: Sequence[int],
    seconds: float,
    runs: int,
) -> None:
    found: dict[tuple[int, str], list[float]] = {}
    for _ in range(runs):
        for rate in rates:
            for which, value in _measured(stage, report, transport, rate, seconds).items():
                found.setdefault((rate, which), []).append(value)
    for (rate, which), values in sorted(found.items()):
        name = f"latency, {transport}, {rate} changes/s, {which}"
        targets = _TARGETS.get((rate, which), ())
        report.figures.append(Figure(name, "ms", tuple(values), targets))


def _measured(
    stage: Stage, report: Report, transport: str, rate: int, seconds: float
) -> dict[str, float]:
    """Return the latency's median and 99th percentile, and the CPU time of a change: of listener
    and workers, and of the database server. All in milliseconds."""
    name = f"latency, {transport}, {rate} changes/s"
    try:
        with SimulatorProcess("--seed", "1", grpc=True) as org, stage.run() as run:
            latencies, cpu, of_database = _run(run, org, transport, rate, seconds)
    except Exception as error:
        report.failures[name] = f"{type(error).__name__}: {error}"
        return {}
    median = statistics.median(latencies)
    say(f"{name}: median {median:.0f} ms of {len(latencies)}")
    return {
        "median": median,
        "99th percentile": sorted(latencies)[math.ceil(len(latencies) * 0.99) - 1],
        "CPU of a change": cpu,
        "CPU of the database for a change": of_database,
    }


def _run(
    run: Run, org: SimulatorProcess, transport: str, rate: int, seconds: float
) -> tuple[list[int], float, float]:
    moments = run.folder / "moments"
    run.environment[MOMENTS] = str(moments)
    configure(run, org, listener_yaml(org, transport, "bench.moment"))
    recorded = Recorded(run.database)
    processes = [*run.workers(WORKERS), run.listener()]
    wait_for_subscription(processes[-1])
    began, before, of_database = time.time(), cpu_seconds(processes), run.database_cpu()
    sent = _publish(org, rate, seconds)
    wait_for(lambda: recorded.is_handled(sent), _PATIENCE_SECONDS, "the end of all handlers")
    cpu, of_database = cpu_seconds(processes) - before, run.database_cpu() - of_database
    latencies = _read(moments, sent, (began + _WARM_UP_SECONDS) * 1000)
    return latencies, 1000 * cpu / sent, 1000 * of_database / sent


def _publish(org: SimulatorProcess, rate: int, seconds: float) -> int:
    """Publish changes evenly at `rate` per second, and return their number."""
    count, total = 0, int(rate * seconds)
    started, pause = time.monotonic(), threading.Event()
    while count < total:
        due = min(total, int((time.monotonic() - started) * rate) + 1)
        if due > count:
            create(org, due - count)
            count = due
        pause.wait(max(_STEP_SECONDS, 1 / rate) / 2)
    return count


def _read(moments: Path, sent: int, since: float) -> list[int]:
    """Return the latency in milliseconds of each change that was committed after the warm-up."""
    pairs = [tuple(map(int, line.split())) for line in moments.read_text().splitlines()]
    if len(pairs) != sent:
        raise RuntimeError(f"{sent} changes were published, {len(pairs)} handled")
    return [began - committed for committed, began in pairs if committed >= since]
